//! Says how far a vehicle comes: GET /range?fuel=LITRES. Standard library only.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// Whole kilometres at 8 litres per 100 kilometres.
fn reach(litres: f64) -> Option<u64> {
    (litres >= 0.0).then(|| (litres / 8.0 * 100.0) as u64)
}

fn answer(path: &str) -> (u16, String) {
    match path.split_once("?fuel=") {
        None if path == "/health" => (200, "ok".to_owned()),
        Some(("/range", litres)) => match litres.parse().ok().and_then(reach) {
            Some(kilometres) => (200, format!("{kilometres} km")),
            None => (400, "no such amount".to_owned()),
        },
        _ => (404, "no such page".to_owned()),
    }
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = answer(first.split(' ').nth(1).unwrap_or("/"));
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} .\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    for stream in TcpListener::bind(format!("127.0.0.1:{port}"))?.incoming() {
        let stream = stream?;
        std::thread::spawn(move || serve(stream));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tank() {
        assert_eq!(reach(40.0), Some(500));
        assert_eq!(answer("/range?fuel=40"), (200, "500 km".to_owned()));
    }

    #[test]
    fn no_amount() {
        assert_eq!(reach(-1.0), None);
        assert_eq!(answer("/range?fuel=x").0, 400);
    }
}
