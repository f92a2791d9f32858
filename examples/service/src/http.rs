//! As much of HTTP/1.1 as the service needs.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};

/// The longest head and the longest body that are read.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub body: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

#[derive(Debug)]
pub enum BadRequest {
    Incomplete,
    TooLong,
    NotText,
    Io(io::Error),
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the request is incomplete"),
            Self::TooLong => f.write_str("the request is too long"),
            Self::NotText => f.write_str("the request is not UTF-8"),
            Self::Io(error) => write!(f, "the request cannot be read: {error}"),
        }
    }
}

pub fn read_request(stream: &mut impl Read) -> Result<Request, BadRequest> {
    let mut reader = BufReader::new(stream.take(2 * LONGEST));
    let mut line = String::new();
    read_line(&mut reader, &mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(BadRequest::Incomplete);
    };
    let method = method.to_owned();
    let path = target.split('?').next().unwrap_or(target).to_owned();
    let mut length = 0;
    loop {
        read_line(&mut reader, &mut line)?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<u64>().map_err(|_| BadRequest::Incomplete)?;
            }
        }
    }
    if length > LONGEST {
        return Err(BadRequest::TooLong);
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).map_err(BadRequest::Io)?;
    if (body.len() as u64) < length {
        return Err(BadRequest::Incomplete);
    }
    let body = String::from_utf8(body).map_err(|_| BadRequest::NotText)?;
    Ok(Request { method, path, body })
}

fn read_line(reader: &mut impl BufRead, line: &mut String) -> Result<(), BadRequest> {
    line.clear();
    match reader.read_line(line) {
        Ok(0) => Err(BadRequest::Incomplete),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(BadRequest::NotText),
        Err(error) => Err(BadRequest::Io(error)),
    }
}

pub fn write_response(stream: &mut impl Write, response: &Response) -> io::Result<()> {
    let reason = match response.status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        422 => "Unprocessable Content",
        500 => "Internal Server Error",
        _ => "",
    };
    write!(
        stream,
        "HTTP/1.1 {} {reason}\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
        response.status,
        response.content_type,
        response.body.len(),
        response.body
    )?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_request_with_a_body() {
        let mut wire: &[u8] =
            b"POST /api/v1/vehicles?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodymore";
        let request = read_request(&mut wire).unwrap();
        assert_eq!(request.method, "POST");
        assert_eq!(request.path, "/api/v1/vehicles");
        assert_eq!(request.body, "body");
    }

    #[test]
    fn refuses_what_is_cut_short() {
        for wire in
            ["", "GET", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nab"]
        {
            let read = read_request(&mut wire.as_bytes());
            assert!(matches!(read, Err(BadRequest::Incomplete)), "{wire:?}");
        }
    }

    #[test]
    fn writes_status_and_length() {
        let response = Response { status: 201, content_type: "text/plain", body: "hé".to_owned() };
        let mut wire = Vec::new();
        write_response(&mut wire, &response).unwrap();
        let wire = String::from_utf8(wire).unwrap();
        assert!(wire.starts_with("HTTP/1.1 201 Created\r\n"));
        assert!(wire.contains("content-length: 3\r\n"));
    }
}
