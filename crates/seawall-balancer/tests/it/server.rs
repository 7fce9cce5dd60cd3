//! A server behind the balancer: a thread that reads requests and does what it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers before it has read the request's body, in chunks, and keeps the connection.
    AnswersEarly,
    /// Breaks off in the middle of the answer's body.
    BreaksOff,
    /// Closes the connection after it has read the request.
    Closes,
    /// Answers with its name and what it was sent.
    Echoes,
    /// Sends half of its answer before it has read the request's body.
    Begins,
    /// Never answers; its checks fail too.
    Hangs,
    /// Switches protocols, and closes.
    Leaves,
    /// Switches protocols, says that it has said all, and takes note of what it gets.
    Listens,
    /// Answers before it has read the request's body, and closes.
    Refuses,
    /// Answers with these bytes, and closes.
    Says(&'static str),
    /// Answers its checks, and pages only after a while.
    Slow,
    /// Sends a part of its answer and then nothing; its checks fail too.
    Stalls,
    /// Switches to a protocol in which it sends back what it gets.
    Switches,
    /// Switches to a protocol in which it sends a byte now and then.
    Ticks,
}

pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    behaviour: Mutex<Behaviour>,
    health: Mutex<&'static str>,
    /// Header fields that its answers to requests have, each with its line end.
    fields: Mutex<&'static str>,
    requests: Mutex<Vec<String>>,
    connections: AtomicUsize,
    checks: AtomicUsize,
    /// Connections that are open now, with those of checks.
    open: AtomicUsize,
    ended: AtomicBool,
}

const DRAINING: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 17\r\n\r\n\
     {\"draining\":true}";
const WELL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

impl Upstream {
    pub(crate) fn start(name: &'static str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            name,
            behaviour: Mutex::new(behaviour),
            health: Mutex::new(WELL),
            fields: Mutex::new("Connection: X-Hop\r\nX-Hop: 1\r\n"),
            requests: Mutex::default(),
            connections: AtomicUsize::new(0),
            checks: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.ended.load(SeqCst) {
                    return;
                }
                let shared = accepting.clone();
                thread::spawn(move || {
                    shared.open.fetch_add(1, SeqCst);
                    let _ = serve(&shared, stream.unwrap());
                    shared.open.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap() = behaviour;
    }

    /// What the checks get from now on.
    pub(crate) fn answer_checks(&self, answer: &'static str) {
        *self.shared.health.lock().unwrap() = answer;
    }

    /// Has its answers say that it drains, and its checks too.
    pub(crate) fn drain(&self) {
        *self.shared.fields.lock().unwrap() =
            "Connection: close, x-seawall-draining\r\nx-seawall-draining: 1\r\n";
        self.answer_checks(DRAINING);
    }

    /// The requests so far, without the checks: heads, and bodies after them.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many connections requests have come on, without the checks.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// How often it has been checked.
    pub(crate) fn checks(&self) -> usize {
        self.shared.checks.load(SeqCst)
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(SeqCst)
    }

    /// Refuses connections from now on.
    pub(crate) fn end(&self) {
        self.shared.ended.store(true, SeqCst);
        // The listener is closed once it has woken up.
        drop(TcpStream::connect(self.address));
        while TcpStream::connect(self.address).is_ok() {
            thread::yield_now();
        }
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut is_first = true;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let behaviour = *shared.behaviour.lock().unwrap();
        if [Behaviour::Hangs, Behaviour::Stalls].contains(&behaviour) {
            if behaviour == Behaviour::Stalls && !head.contains("/.seawall/") {
                writer.write_all(HALF)?;
            }
            hang(shared, behaviour);
            return Ok(());
        }
        if head.starts_with("GET /.seawall/health ") {
            shared.checks.fetch_add(1, SeqCst);
            writer.write_all(shared.health.lock().unwrap().as_bytes())?;
            continue;
        }
        if std::mem::take(&mut is_first) {
            shared.connections.fetch_add(1, SeqCst);
        }
        match behaviour {
            Behaviour::AnswersEarly => {
                writer
                    .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")?;
                continue;
            }
            Behaviour::Begins => writer.write_all(HALF)?,
            Behaviour::Refuses => return writer.write_all(TOO_LARGE),
            _ => {}
        }
        let request = whole(head, &mut reader)?;
        shared.requests.lock().unwrap().push(request.clone());
        match behaviour {
            Behaviour::BreaksOff => return writer.write_all(HALF),
            Behaviour::Closes | Behaviour::Hangs | Behaviour::Stalls => return Ok(()),
            Behaviour::Says(answer) => return writer.write_all(answer.as_bytes()),
            Behaviour::Leaves => return writer.write_all(SWITCHING),
            Behaviour::Switches => return switch(reader, writer),
            Behaviour::Ticks => return tick(writer),
            Behaviour::Listens => return listen(shared, reader, writer),
            Behaviour::Slow => thread::sleep(std::time::Duration::from_millis(1_500)),
            Behaviour::AnswersEarly
            | Behaviour::Begins
            | Behaviour::Echoes
            | Behaviour::Refuses => {}
        }
        let name = shared.name;
        let body = format!("{name}\n{request}");
        let length = body.len();
        let fields = *shared.fields.lock().unwrap();
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=abc.{name}; Path=/; HttpOnly\r\n\
             {fields}Content-Length: {length}\r\n\r\n{body}"
        )?;
        if fields.contains("close") {
            return Ok(());
        }
    }
}

/// A request with its body.
fn whole(head: String, reader: &mut impl Read) -> std::io::Result<String> {
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body)?;
    Ok(head + &String::from_utf8_lossy(&body))
}

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf";

const TOO_LARGE: &[u8] =
    b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig";

/// Waits until the server is told to do something else.
fn hang(shared: &Shared, behaviour: Behaviour) {
    while *shared.behaviour.lock().unwrap() == behaviour && !shared.ended.load(SeqCst) {
        thread::sleep(std::time::Duration::from_millis(5));
    }
}

const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";

fn tick(mut writer: TcpStream) -> std::io::Result<()> {
    writer.write_all(SWITCHING)?;
    loop {
        writer.write_all(b".")?;
        thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn listen(
    shared: &Shared,
    mut reader: BufReader<TcpStream>,
    mut writer: TcpStream,
) -> std::io::Result<()> {
    writer.write_all(SWITCHING)?;
    // By then the client has sent more than anybody takes.
    thread::sleep(std::time::Duration::from_millis(300));
    writer.shutdown(std::net::Shutdown::Write)?;
    thread::sleep(std::time::Duration::from_millis(300));
    let mut heard = String::new();
    reader.read_to_string(&mut heard)?;
    shared.requests.lock().unwrap().push(heard);
    Ok(())
}

fn switch(mut reader: BufReader<TcpStream>, mut writer: TcpStream) -> std::io::Result<()> {
    writer.write_all(SWITCHING)?;
    std::io::copy(&mut reader, &mut writer).map(drop)
}
