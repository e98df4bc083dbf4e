//! `pull`, `ls` and `rm`: the models of the hub that this machine keeps.

use std::{
    io::{IsTerminal, stdin},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bimetal::{
    Error, Result,
    low_level::hub::{self, CachedModel, HubOptions, Removal, RepoSpec, size_text},
};
use clap::Args;
use serde_json::json;

use super::{
    output::{note, print, print_json},
    progress::Download,
    table::{Column, paragraph, table},
};

/// Flags of `pull`.
#[derive(Args)]
pub struct PullArguments {
    /// OWNER/NAME, OWNER/NAME:QUANT or OWNER/NAME/FILE.gguf, each with @REVISION if it is not the newest
    model: String,
}

/// Flags of `ls`.
#[derive(Args)]
pub struct ListArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Flags of `rm`.
#[derive(Args)]
pub struct RemoveArguments {
    /// OWNER/NAME for a whole repository, OWNER/NAME:QUANT or OWNER/NAME/FILE.gguf for one model, each with @REVISION
    /// for one revision
    #[arg(required = true)]
    models: Vec<String>,
    /// Remove without a question
    #[arg(short, long)]
    yes: bool,
}

fn spec(model: &str) -> Result<RepoSpec> {
    RepoSpec::parse(model).ok_or_else(|| {
        Error::Request(format!(
            "{model:?} names no model on the hub: expected OWNER/NAME, OWNER/NAME:QUANT or OWNER/NAME/FILE.gguf, each \
             with or without @REVISION at its end"
        ))
    })
}

/// Downloads a model, or what is new in it.
pub fn pull(arguments: &PullArguments) -> Result<()> {
    let (spec, options) = (spec(&arguments.model)?, HubOptions::from_environment()?);
    let mut download = Download::new(options.hide_bars);
    let path = hub::pull(&spec, &options, &mut |event| download.show(event))?;
    if !download.has_begun() {
        let mut folders = path.iter().skip_while(|folder| *folder != "snapshots").skip(1);
        let commit = folders.next().unwrap_or_default().to_string_lossy();
        let commit = hub::short_revision(&commit);
        note(&format!("{}: nothing new, all of commit {commit} was here already", spec.short()));
    }
    print(&format!("{}\n", path.display()))
}

/// Lists the models.
pub fn list(arguments: &ListArguments) -> Result<()> {
    let options = HubOptions::from_environment()?;
    let models = hub::list(&options)?;
    if arguments.json {
        return print_json(&models.iter().map(as_json).collect());
    }
    if models.is_empty() {
        note(&format!("no models in {}: `bimetal pull OWNER/NAME` downloads one", options.cache.display()));
        return Ok(());
    }
    let rows: Vec<_> = models.iter().map(row).collect();
    let bytes = hub::total_bytes(&models);
    let place = options.cache.display();
    let columns = [Column::text("model"), Column::number("size"), Column::text("modified")];
    print(&(table(&columns, &rows) + &paragraph(&format!("{} in {place}\n", size_text(bytes)), 0)))
}

/// A path is too long for a line; JSON has it.
fn row(model: &CachedModel) -> Vec<String> {
    let date = model.modified.map_or("-".into(), |time| date(time)[..10].to_owned());
    let name = model.spec.short();
    let name = if model.complete { name } else { format!("{name} (incomplete)") };
    vec![name, size_text(model.bytes), date]
}

fn as_json(model: &CachedModel) -> serde_json::Value {
    json!({
        "model": model.spec.to_string(), "bytes": model.bytes, "modified": model.modified.map(date),
        "path": model.path, "complete": model.complete,
    })
}

/// Removes models, after a question.
pub fn remove(arguments: &RemoveArguments) -> Result<()> {
    let options = HubOptions::from_environment()?;
    let specs: Vec<_> = arguments.models.iter().map(|model| spec(model)).collect::<Result<_>>()?;
    // A name that is wrong is told before anything is removed.
    specs.iter().try_for_each(|spec| hub::removal(spec, &options).map(drop))?;
    let mut changed = Vec::new();
    for (model, spec) in arguments.models.iter().zip(&specs) {
        // What the removals before this one have left is another amount.
        let removal = match hub::removal(spec, &options) {
            Err(_) if changed.contains(&spec.repository()) => {
                note(&format!("{model} was removed with the others"));
                continue;
            }
            removal => removal?,
        };
        let bytes = size_text(removal.bytes());
        if !arguments.yes && !confirmed(model, &removal)? {
            note(&format!("{model} is kept"));
            continue;
        }
        removal.run()?;
        changed.push(spec.repository());
        print(&format!("removed {model}: {bytes} freed\n"))?;
    }
    Ok(())
}

fn confirmed(model: &str, removal: &Removal) -> Result<bool> {
    let (bytes, all) = (size_text(removal.bytes()), "with all its revisions and quantizations");
    if !stdin().is_terminal() {
        let what = if removal.is_whole() { format!("remove {model} {all} and free") } else { "free".into() };
        return Err(Error::Request(format!("rm {model} would {what} {bytes}: add -y to remove without a question")));
    }
    let all = if removal.is_whole() { format!(" {all}") } else { String::new() };
    eprint!("remove {model}{all} and free {bytes}? [y/N] ");
    let mut line = String::new();
    stdin().read_line(&mut line).map_err(Error::io("standard input"))?;
    Ok(["y", "yes"].iter().any(|word| line.trim().eq_ignore_ascii_case(word)))
}

/// A time as `2026-01-31T12:00:00Z`.
fn date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let [hours, minutes, left] = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60];
    let (mut year, mut days) = (1970, seconds / 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}T{hours:02}:{minutes:02}:{left:02}Z", month + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }
}
