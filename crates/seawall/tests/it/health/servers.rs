//! Servers that are not what they should be, each on a port of its own for as long as the test runs.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::cluster::get;

/// Calls `serve` with each connection.
fn listen(serve: impl Fn(TcpStream) -> std::io::Result<()> + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || drop(serve(stream)));
        }
    });
    port
}

/// Reads what comes, until the other side gives up.
fn drain(mut stream: TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 1_024])? > 0 {}
    Ok(())
}

/// Takes connections, and never answers.
pub(crate) fn silent() -> u16 {
    listen(drain)
}

/// Closes each connection at once.
pub(crate) fn closing() -> u16 {
    listen(|stream| stream.shutdown(std::net::Shutdown::Both))
}

/// Answers each request with these bytes.
pub(crate) fn saying(answer: &'static str) -> u16 {
    listen(move |mut stream| {
        stream.read(&mut [0; 1_024]).map(drop)?;
        stream.write_all(answer.as_bytes())?;
        drain(stream)
    })
}

/// Answers with a body that never ends.
pub(crate) fn endless() -> u16 {
    listen(|mut stream| {
        stream.read(&mut [0; 1_024]).map(drop)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")?;
        loop {
            stream.write_all(&[b'1'; 512])?;
            thread::sleep(Duration::from_millis(1));
        }
    })
}

/// Answers a byte at a time.
pub(crate) fn slow() -> u16 {
    listen(|mut stream| {
        stream.read(&mut [0; 1_024]).map(drop)?;
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" {
            stream.write_all(&[*byte])?;
            thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    })
}

/// Passes on the health of the node at `port`, changed.
pub(crate) fn altered(port: u16, change: impl Fn(&mut Value) + Clone + Send + 'static) -> u16 {
    listen(move |mut stream| {
        stream.read(&mut [0; 1_024]).map(drop)?;
        let (head, body) = get(port, "/.seawall/health", "").unwrap();
        let mut report = serde_json::from_str(&body).unwrap();
        change(&mut report);
        let (status, body) = (head.lines().next().unwrap(), report.to_string());
        let length = body.len();
        write!(stream, "{status}\r\nContent-Length: {length}\r\n\r\n{body}")?;
        drain(stream)
    })
}
