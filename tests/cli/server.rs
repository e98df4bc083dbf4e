//! A hub on the loopback interface: `GET /OWNER/NAME/resolve/REVISION/FILE` as on the real one, and its failures.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The hub's behavior, and the requests so far.
#[derive(Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Answer everything with this status.
    pub status: Option<u16>,
    /// Break off that many bytes into the next answers with a file's content, one entry per answer.
    pub cuts: Vec<usize>,
    /// Answer range requests with the whole file.
    pub whole: bool,
    /// Send weights from another address, as the real hub does.
    pub redirect: bool,
    /// Promise this many bytes more than the file has.
    pub overpromise: usize,
    pub requests: Vec<Request>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub range: String,
    pub authorization: Option<String>,
}

impl Request {
    /// Whether this requested content: the client learns a file's size from its first byte alone.
    pub fn is_content(&self) -> bool {
        self.range != "bytes=0-0"
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
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // The client may hang up at any time.
                let _ = answer(stream.unwrap(), &shared);
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

fn answer(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let request = receive(&stream)?;
    let mut state = state.lock().unwrap();
    state.requests.push(request.clone());
    if let Some(status) = state.status {
        return write!(stream, "HTTP/1.1 {status} no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let name = request.path.split_once("/resolve/").and_then(|(_, rest)| rest.split_once('/')).map(|(_, name)| name);
    let name = name.or_else(|| request.path.strip_prefix("/elsewhere/")).unwrap_or_default();
    let Some(content) = state.files.get(name).cloned() else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let about = format!("x-repo-commit: {COMMIT}\r\nETag: \"tag-{name}\"\r\nConnection: close\r\n");
    if state.redirect && name.ends_with(".safetensors") && request.path.contains("/resolve/") {
        let host = stream.local_addr()?;
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nLocation: http://{host}/elsewhere/{name}\r\nContent-Length: 0\r\n{about}\r\n"
        );
    }
    let (first, last) = asked(&request, content.len(), state.whole);
    let total = content.len() + state.overpromise;
    let status = if state.whole && request.is_content() { "200 OK" } else { "206 Partial Content" };
    let body = &content[first..last];
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {first}-{last}/{total}\r\n{about}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let cut = request.is_content().then(|| (!state.cuts.is_empty()).then(|| state.cuts.remove(0))).flatten();
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])
}

fn asked(request: &Request, length: usize, whole: bool) -> (usize, usize) {
    let (first, last) = request.range.trim_start_matches("bytes=").split_once('-').unwrap_or(("0", ""));
    let first = if whole { 0 } else { first.parse().unwrap_or(0) };
    (first.min(length), last.parse().map_or(length, |last: usize| last + 1).min(length))
}

fn receive(stream: &TcpStream) -> std::io::Result<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let mut request =
        Request { path: first.split(' ').nth(1).unwrap_or_default().into(), range: String::new(), authorization: None };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => request.range = value.into(),
            "authorization" => request.authorization = Some(value.into()),
            _ => {}
        }
    }
    Ok(request)
}
