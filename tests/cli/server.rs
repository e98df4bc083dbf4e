//! A hub on the loopback interface: files and lists of files as on the real one, and its failures.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::json;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The hub's behavior, and the requests so far.
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// The name of the newest commit.
    pub commit: String,
    /// Answer everything with this status.
    pub status: Option<u16>,
    /// Answer the next requests with these statuses, one entry per request.
    pub statuses: Vec<u16>,
    /// Further header lines of a refusal, each with its line break.
    pub headers: String,
    /// Break off that many bytes into the next answers with a file's content, one entry per answer.
    pub cuts: Vec<usize>,
    /// Where a content breaks off, keep the connection and send nothing more.
    pub stall: bool,
    /// Keep connections and answer nothing.
    pub silent: bool,
    /// Answer range requests with the whole file.
    pub whole: bool,
    /// Send weights from another address, as the real hub does.
    pub redirect: bool,
    /// Send weights from this host instead of this hub's own.
    pub elsewhere: Option<String>,
    /// Promise this many bytes more than the file has.
    pub overpromise: usize,
    /// Send this many bytes more than the file has, with an honest length of the answer.
    pub oversend: usize,
    /// Contents name another size than the one that was promised.
    pub other_total: bool,
    /// Answer the request for content with this number, counted from 0, with this status.
    pub refused_content: Option<(usize, u16)>,
    /// Have no lists of files.
    pub plain: bool,
    pub requests: Vec<Request>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub range: String,
    pub authorization: Option<String>,
    pub agent: String,
}

impl Request {
    /// Whether this requested content: the client learns a file's size from its first byte alone.
    pub fn is_content(&self) -> bool {
        self.range != "bytes=0-0" && !self.path.starts_with("/api/")
    }
}

pub struct Hub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, content)| (name.to_string(), content.to_vec())).collect();
        let state = Arc::new(Mutex::new(State::of(files)));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), shared.clone());
                // The client may hang up at any time.
                thread::spawn(move || answer(stream, &shared));
            }
        });
        Self { endpoint, state }
    }

    pub fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

impl State {
    fn of(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            files,
            commit: COMMIT.into(),
            status: None,
            statuses: Vec::new(),
            headers: String::new(),
            cuts: Vec::new(),
            stall: false,
            silent: false,
            whole: false,
            redirect: false,
            elsewhere: None,
            overpromise: 0,
            oversend: 0,
            other_total: false,
            refused_content: None,
            plain: false,
            requests: Vec::new(),
        }
    }

    /// The hub's list of files.
    fn listing(&self) -> String {
        let files = self.files.iter();
        let siblings: Vec<_> =
            files.map(|(name, content)| json!({ "rfilename": name, "size": content.len() })).collect();
        json!({ "id": "maker/model", "sha": self.commit, "siblings": siblings }).to_string()
    }

    fn refusal(&mut self) -> Option<u16> {
        if self.statuses.is_empty() { self.status } else { Some(self.statuses.remove(0)) }
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let request = receive(&stream)?;
    let (head, body, stall) = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        if state.silent {
            drop(state);
            thread::sleep(Duration::from_secs(10));
            return Ok(());
        }
        let host = stream.local_addr()?.to_string();
        reply(&request, &mut state, &host)
    };
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    if stall {
        thread::sleep(Duration::from_secs(10));
    }
    Ok(())
}

/// The head of an answer, its body, and whether it then keeps the connection open for nothing.
fn reply(request: &Request, state: &mut State, host: &str) -> (String, Vec<u8>, bool) {
    let refuse = |status: u16, headers: &str| {
        let head = format!("HTTP/1.1 {status} no\r\nContent-Length: 0\r\n{headers}Connection: close\r\n\r\n");
        (head, Vec::new(), false)
    };
    if let Some(status) = state.refusal() {
        return refuse(status, &state.headers);
    }
    if let Some((number, status)) = state.refused_content.filter(|_| request.is_content()) {
        state.refused_content = number.checked_sub(1).map(|number| (number, status));
        if number == 0 {
            return refuse(status, "");
        }
    }
    if request.path.starts_with("/api/models/maker/model/revision/") && !state.plain {
        let list = state.listing();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", list.len());
        return (head, list.into_bytes(), false);
    }
    let name = request.path.split_once("/resolve/").and_then(|(_, rest)| rest.split_once('/')).map(|(_, name)| name);
    let name = name.or_else(|| request.path.strip_prefix("/elsewhere/")).unwrap_or_default();
    let Some(content) = state.files.get(name).cloned() else { return refuse(404, &state.headers) };
    let (commit, tag) = (&state.commit, name.replace('/', "-"));
    let about = format!("x-repo-commit: {commit}\r\nETag: \"tag-{tag}\"\r\nConnection: close\r\n");
    if state.redirect && !name.ends_with(".json") && request.path.contains("/resolve/") {
        let host = state.elsewhere.as_deref().unwrap_or(host);
        return refuse(302, &format!("Location: http://{host}/elsewhere/{name}\r\n{about}"));
    }
    let (first, last) = asked(request, content.len(), state.whole);
    if first > 0 && first >= content.len() + state.overpromise {
        return refuse(416, "");
    }
    let total = content.len() + state.overpromise + usize::from(state.other_total && request.is_content());
    let status = if state.whole && request.is_content() { "200 OK" } else { "206 Partial Content" };
    let mut body = content[first.min(last)..last].to_vec();
    body.extend(vec![0; if request.is_content() { state.oversend } else { 0 }]);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/{total}\r\n{about}\r\n",
        body.len()
    );
    let cut = request.is_content().then(|| (!state.cuts.is_empty()).then(|| state.cuts.remove(0))).flatten();
    let whole = body.len();
    body.truncate(cut.unwrap_or(whole));
    let stall = state.stall && body.len() < whole;
    (head, body, stall)
}

fn asked(request: &Request, length: usize, whole: bool) -> (usize, usize) {
    let (first, last) = request.range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let first = if whole { 0 } else { first.parse().unwrap_or(0) };
    (first, last.parse().map_or(length, |last: usize| last + 1).min(length))
}

fn receive(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().into();
    let mut request = Request { path, range: String::new(), authorization: None, agent: String::new() };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value.into(),
            "authorization" => request.authorization = Some(value.into()),
            "user-agent" => request.agent = value.into(),
            _ => {}
        }
    }
    Ok(request)
}
