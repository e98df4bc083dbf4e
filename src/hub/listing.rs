//! The files of a repository, and the choice of a GGUF file among them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    RepoSpec,
    explain::failed,
    spec::{Choice, is_gguf, is_inside},
};
use crate::{Error, Result};

/// A commit of a repository, and the sizes of its files in bytes; 0 if the hub does not say.
#[derive(Debug)]
pub(super) struct Listing {
    pub commit: String,
    pub files: BTreeMap<String, u64>,
}

/// The hub's answer about a revision.
#[derive(Deserialize)]
struct Revision {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
}

impl Listing {
    /// Parses the hub's answer. Paths that lead out of a directory are left out.
    pub fn parse(json: &[u8]) -> serde_json::Result<Self> {
        let Revision { sha, siblings } = serde_json::from_slice(json)?;
        let inside = siblings.into_iter().filter(|file| is_inside(&file.rfilename));
        Ok(Self { commit: sha, files: inside.map(|file| (file.rfilename, file.size.unwrap_or(0))).collect() })
    }

    pub fn has(&self, file: &str) -> bool {
        self.files.contains_key(file)
    }
}

/// A model in GGUF form: one file, or its parts in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GgufModel {
    pub files: Vec<String>,
    pub bytes: u64,
}

impl GgufModel {
    /// The file that stands for the model.
    pub fn name(&self) -> &str {
        &self.files[0]
    }

    /// The model of a file, or of a part of one; the sizes are unknown.
    pub fn of(file: &str) -> Self {
        let files = match part(file) {
            Some((stem, _, count)) => (1..=count).map(|number| part_name(stem, number, count)).collect(),
            None => vec![file.to_owned()],
        };
        Self { files, bytes: 0 }
    }

    /// The quantization in the file's name, such as `Q4_K_M`.
    pub fn quantization(&self) -> &str {
        let stem = stem(self.name());
        let base = stem.rsplit_once('/').map_or(stem, |(_, base)| base);
        let Some((before, label)) = base.rsplit_once(['-', '.']) else { return base };
        match before.rsplit_once(['-', '.']) {
            // Another way to choose the type of each tensor, with the same names of types.
            Some((_, "UD")) => &base[base.len() - label.len() - 3..],
            _ => label,
        }
    }

    /// Whether the file's name ends in this quantization.
    fn ends_in(&self, quantization: &str) -> bool {
        let (stem, end) = (stem(self.name()).to_ascii_lowercase(), quantization.to_ascii_lowercase());
        stem.strip_suffix(&end).is_some_and(|before| before.is_empty() || before.ends_with(['-', '.', '_', '/']))
    }
}

/// The text models in GGUF form among these files and sizes.
pub(super) fn gguf_models<'a>(files: impl Iterator<Item = (&'a str, u64)>) -> Vec<GgufModel> {
    let mut models: BTreeMap<String, GgufModel> = BTreeMap::new();
    for (file, bytes) in files.filter(|(file, _)| is_gguf(file) && is_text_model(file)) {
        let model = GgufModel::of(file);
        models.entry(model.name().to_owned()).or_insert(model).bytes += bytes;
    }
    models.into_values().collect()
}

/// Vision encoders and statistics for quantization have the same file type.
fn is_text_model(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file).to_ascii_lowercase();
    !name.contains("mmproj") && !name.contains("imatrix")
}

/// The models that a specification may mean.
pub(super) fn fitting<'m>(spec: &RepoSpec, models: &'m [GgufModel]) -> Vec<&'m GgufModel> {
    match &spec.choice {
        Choice::Default => models.iter().collect(),
        Choice::File(file) => models.iter().filter(|model| model.name() == GgufModel::of(file).name()).collect(),
        Choice::Quantization(name) => {
            let exact = |model: &&GgufModel| model.quantization().eq_ignore_ascii_case(name);
            match models.iter().filter(exact).collect::<Vec<_>>() {
                none if none.is_empty() => models.iter().filter(|model| model.ends_in(name)).collect(),
                some => some,
            }
        }
    }
}

/// The model that a specification chooses. `None` if there is no GGUF file at all.
///
/// # Errors
/// [`Error::Download`] that lists the files if none or several fit.
pub(super) fn choose(spec: &RepoSpec, models: &[GgufModel]) -> Result<Option<GgufModel>> {
    if let Choice::File(file) = &spec.choice {
        return Ok(Some(GgufModel::of(file)));
    }
    match (&fitting(spec, models)[..], &spec.choice) {
        ([one], _) => Ok(Some((*one).clone())),
        ([], Choice::Default) => Ok(None),
        ([], Choice::Quantization(name)) if models.is_empty() => {
            Err(failed(spec, "", format!("the repository has no GGUF file, so there is no {name} among them")))
        }
        ([], _) => Err(listed(spec, "no GGUF file has this quantization in its name", models.iter())),
        (several, _) => Err(listed(spec, "the repository has several GGUF files", several.iter().copied())),
    }
}

fn listed<'a>(spec: &RepoSpec, why: &str, models: impl Iterator<Item = &'a GgufModel> + Clone) -> Error {
    let widest = models.clone().map(|model| model.name().chars().count()).max().unwrap_or(0);
    let mut text = format!("{why}: choose one");
    for model in models.clone() {
        let parts = if model.files.len() > 1 { format!(", {} parts", model.files.len()) } else { String::new() };
        let size = if model.bytes == 0 { String::new() } else { super::size_text(model.bytes) };
        let line = format!("  {:<widest$}  {size:>9}{parts}", model.name());
        text += &format!("\n{}", line.trim_end());
    }
    let names = RepoSpec { choice: Choice::Default, ..spec.clone() };
    let Some(first) = models.clone().find(|model| model.ends_in("Q4_K_M")).or_else(|| models.clone().next()) else {
        return failed(spec, "", text);
    };
    let short = RepoSpec { choice: Choice::Quantization(first.quantization().into()), ..names.clone() };
    let long = RepoSpec { choice: Choice::File(first.name().into()), ..names.clone() };
    failed(&names, "", format!("{text}\nFor example: {short}, or {long}"))
}

/// The name without `.gguf` and without the number of a part.
fn stem(file: &str) -> &str {
    match part(file) {
        Some((stem, ..)) => stem,
        None => &file[..file.len().saturating_sub(5)],
    }
}

/// The stem, number and count of `STEM-00001-of-00003.gguf`.
fn part(file: &str) -> Option<(&str, u32, u32)> {
    let rest = is_gguf(file).then(|| &file[..file.len() - 5])?;
    let (rest, count) = rest.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (number, count) = (digits(number).then(|| number.parse().ok())??, digits(count).then(|| count.parse().ok())??);
    (number >= 1 && number <= count).then_some((stem, number, count))
}

fn part_name(stem: &str, number: u32, count: u32) -> String {
    format!("{stem}-{number:05}-of-{count:05}.gguf")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const FILES: [&str; 7] = [
        "Model-Q8_0.gguf",
        "Model-UD-Q4_K_XL.gguf",
        "README.md",
        "model.q4_k_m.gguf",
        "mmproj-BF16.gguf",
        "BF16/Model-BF16-00001-of-00002.gguf",
        "BF16/Model-BF16-00002-of-00002.gguf",
    ];

    fn chosen(text: &str) -> Result<Option<GgufModel>> {
        choose(&RepoSpec::parse(text).unwrap(), &gguf_models(FILES.into_iter().zip(1..)))
    }

    #[test]
    fn a_quantization_chooses_whatever_its_case_and_separator() {
        for (quantization, file) in [
            ("q8_0", "Model-Q8_0.gguf"),
            ("Q4_K_M", "model.q4_k_m.gguf"),
            ("ud-q4_k_xl", "Model-UD-Q4_K_XL.gguf"),
            ("Q4_K_XL", "Model-UD-Q4_K_XL.gguf"),
        ] {
            assert_eq!(chosen(&format!("a/b:{quantization}")).unwrap().unwrap().files, [file]);
        }
        let parts = chosen("a/b:bf16").unwrap().unwrap();
        assert_eq!((parts.files.len(), parts.bytes), (2, 13));
    }

    #[test]
    fn without_a_choice_the_files_are_listed_with_their_sizes() {
        let text = chosen("a/b").unwrap_err().to_string();
        for word in ["several", "Model-Q8_0.gguf", "13 B, 2 parts", "example: a/b:q4_k_m, or a/b/model.q4_k_m.gguf"] {
            assert!(text.contains(word), "{text}");
        }
        assert!(!text.contains("mmproj"), "{text}");
        assert!(chosen("a/b:Q3_K_S").unwrap_err().to_string().contains("no GGUF file has this quantization"));
    }

    #[test]
    fn one_file_needs_no_choice() {
        let one = choose(&RepoSpec::parse("a/b").unwrap(), &gguf_models([("x.gguf", 1)].into_iter()));
        assert_eq!(one.unwrap().unwrap().files, ["x.gguf"]);
    }
}
