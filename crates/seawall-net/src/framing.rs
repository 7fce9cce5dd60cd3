//! A look at the raw request head for what the HTTP parser repairs without telling.
//!
//! hyper merges equal `Content-Length` fields and drops them beside `Transfer-Encoding`. That is
//! safe, but a balancer should refuse such a message: it is how request smuggling begins.

/// Longest field name looked for, with its colon.
const LONGEST_NAME: usize = b"transfer-encoding:".len();

/// Counts the framing fields of one request head, fed in pieces.
#[derive(Debug)]
pub(crate) struct HeadScanner {
    line: [u8; LONGEST_NAME],
    line_length: usize,
    content_lengths: u8,
    transfer_encodings: u8,
    lines: u32,
    done: bool,
}

impl HeadScanner {
    pub(crate) fn new() -> Self {
        Self {
            line: [0; LONGEST_NAME],
            line_length: 0,
            content_lengths: 0,
            transfer_encodings: 0,
            lines: 0,
            done: false,
        }
    }

    /// Takes the next bytes of the connection; what follows the head is not looked at.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !self.done && !bytes.is_empty() {
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            let room = (LONGEST_NAME - self.line_length).min(piece.len());
            self.line[self.line_length..self.line_length + room].copy_from_slice(&piece[..room]);
            self.line_length += room;
            let Some(end) = end else { return };
            self.end_line();
            bytes = &bytes[end + 1..];
        }
    }

    /// Whether the length of the body is said more than once.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.content_lengths.saturating_add(self.transfer_encodings) > 1
    }

    fn end_line(&mut self) {
        let line = &self.line[..self.line_length];
        self.line_length = 0;
        if line.is_empty() || line == b"\r" {
            // Empty lines before the request line are allowed, and skipped by the parser too.
            self.done = self.lines > 0;
            return;
        }
        self.lines += 1;
        match line[0] | 0x20 {
            b'c' if starts_with(line, b"content-length:") => {
                self.content_lengths = self.content_lengths.saturating_add(1);
            }
            b't' if starts_with(line, b"transfer-encoding:") => {
                self.transfer_encodings = self.transfer_encodings.saturating_add(1);
            }
            _ => (),
        }
    }
}

fn starts_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ambiguous(head: &str, piece: usize) -> bool {
        let mut scanner = HeadScanner::new();
        for bytes in head.as_bytes().chunks(piece) {
            scanner.feed(bytes);
        }
        scanner.is_ambiguous()
    }

    #[test]
    fn finds_double_framing_however_the_head_is_cut() {
        let cases = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", false),
            (
                "POST / HTTP/1.1\r\ncontent-length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\nContent-length: 3\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
                true,
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 40\r\n\r\nContent-Length: 3\r\n",
                false,
            ),
            (
                "\r\nPOST / HTTP/1.1\r\nX-Content-Length: 40\r\nContent-Length: 3\r\n\r\n",
                false,
            ),
            (
                "POST / HTTP/1.1\nContent-Length: 3\nTransfer-Encoding: x\n\n",
                true,
            ),
        ];
        for (head, expected) in cases {
            for piece in 1..head.len() {
                assert_eq!(
                    is_ambiguous(head, piece),
                    expected,
                    "{head:?} in pieces of {piece}"
                );
            }
        }
    }
}
