//! A client with as little cost as possible: HTTP/1.1 on one blocking connection, answers read into one
//! buffer.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// An answer that takes longer is an error.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A kept-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where in the buffer the next answer starts.
    start: usize,
}

/// An answer, until the next one is read.
pub struct Answer<'a> {
    pub status: u16,
    head: &'a str,
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
    /// The beginning of the body, for messages.
    pub fn brief(&self) -> String {
        String::from_utf8_lossy(self.body).chars().take(300).collect()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Self::open_for(address, TIMEOUT)
    }

    /// A connection on which an answer may take this long.
    fn open_for(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream, buffer: Vec::with_capacity(4 << 10), start: 0 })
    }

    /// Sends one request or several.
    pub fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.stream.write_all(requests)
    }

    /// Reads the next answer, which must have its length.
    pub fn receive(&mut self) -> io::Result<Answer<'_>> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let head_end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            self.read_more()?;
        };
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let head = std::str::from_utf8(&self.buffer[..head_end]).map_err(|_| invalid("a head of no text"))?;
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status: u16 = status.ok_or_else(|| invalid("no status"))?;
        let length = header(head, "content-length").map_or(Some(0), |length| length.parse().ok());
        let body_start = head_end + 4;
        let end = body_start + length.ok_or_else(|| invalid("no length"))?;
        while self.buffer.len() < end {
            self.read_more()?;
        }
        self.start = end;
        // It was checked to be text above.
        let head = std::str::from_utf8(&self.buffer[..head_end]).unwrap_or_default();
        Ok(Answer { status, head, body: &self.buffer[body_start..end] })
    }

    fn read_more(&mut self) -> io::Result<()> {
        let start = self.buffer.len();
        self.buffer.resize(start + (4 << 10), 0);
        let read = self.stream.read(&mut self.buffer[start..])?;
        self.buffer.truncate(start + read);
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The internal listener, used with a key.
pub struct Admin {
    pub address: SocketAddr,
    pub key: String,
}

impl Admin {
    pub fn get(&self, path: &str) -> Result<String> {
        self.call("GET", path, None, TIMEOUT)
    }

    pub fn get_json(&self, path: &str) -> Result<Value> {
        serde_json::from_str(&self.get(path)?).with_context(|| format!("read the answer to GET {path}"))
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.post_within(path, body, TIMEOUT)
    }

    /// Like [`Self::post`], for a request that may take longer.
    pub fn post_within(&self, path: &str, body: &Value, patience: Duration) -> Result<Value> {
        let answer = self.call("POST", path, Some(body.to_string()), patience)?;
        serde_json::from_str(&answer).with_context(|| format!("read the answer to POST {path}"))
    }

    /// Sends requests over one connection, one after the other; each must succeed.
    pub fn post_each(&self, path: &str, bodies: impl Iterator<Item = Value>) -> Result<()> {
        let mut connection = Connection::open(self.address)?;
        for body in bodies {
            connection.send(self.request("POST", path, "keep-alive", &body.to_string()).as_bytes())?;
            let answer = connection.receive()?;
            if !(200..300).contains(&answer.status) {
                bail!("POST {path} {body} was answered {}: {}", answer.status, answer.brief());
            }
        }
        Ok(())
    }

    fn request(&self, method: &str, path: &str, connection: &str, body: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        )
    }

    fn call(&self, method: &str, path: &str, body: Option<String>, patience: Duration) -> Result<String> {
        let request = self.request(method, path, "close", &body.unwrap_or_default());
        let mut connection = Connection::open_for(self.address, patience)?;
        connection.send(request.as_bytes())?;
        let answer = connection.receive()?;
        let text = String::from_utf8_lossy(answer.body).into_owned();
        if !(200..300).contains(&answer.status) {
            bail!("{method} {path} was answered {}: {text}", answer.status);
        }
        Ok(text)
    }
}

/// Sends lines while their results, lines in chunks, come back.
pub struct Upload {
    sender: JoinHandle<io::Result<()>>,
    answer: BufReader<TcpStream>,
}

impl Upload {
    pub fn start(admin: &Admin, path: &str, body: Vec<u8>) -> Result<Self> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            admin.address,
            admin.key,
            body.len()
        );
        let mut stream = TcpStream::connect_timeout(&admin.address, TIMEOUT)?;
        // Results come while lines are still sent; a server that is silent for this long is stuck.
        stream.set_read_timeout(Some(TIMEOUT))?;
        let answer = BufReader::new(stream.try_clone()?);
        let sender = std::thread::spawn(move || {
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body)
        });
        let mut upload = Self { sender, answer };
        let status = upload.line()?;
        if !status.starts_with("HTTP/1.1 200 ") {
            bail!("POST {path} was answered {status}");
        }
        while !upload.line()?.is_empty() {}
        Ok(upload)
    }

    /// Reads all results.
    pub fn each_line(mut self, mut result: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut pending = Vec::new();
        loop {
            let size = self.line()?;
            let size =
                usize::from_str_radix(&size, 16).with_context(|| format!("read a chunk of {size:?}"))?;
            if size == 0 {
                break;
            }
            let start = pending.len();
            pending.resize(start + size, 0);
            self.answer.read_exact(&mut pending[start..])?;
            self.line()?;
            let end = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            pending[..end]
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .try_for_each(&mut result)?;
            pending.drain(..end);
        }
        let Ok(sent) = self.sender.join() else { bail!("the sender gave up") };
        sent.context("send all lines")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answer.read_line(&mut line).context("read an answer")?;
        Ok(line.trim_end().to_owned())
    }
}
