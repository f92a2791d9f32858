//! A small fleet service over plain sockets, standard library only.
//!
//! Listens on `127.0.0.1:$PORT`, or at the address in `HOST`. Logs a line a request to stdout.

mod fleet;
mod http;
mod routes;

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet::Fleet;

fn main() {
    let port = std::env::var("PORT").unwrap_or_else(|_| {
        eprintln!("error: PORT is not set");
        std::process::exit(2);
    });
    let host = std::env::var("HOST").unwrap_or_else(|_| "127.0.0.1".to_owned());
    let address = format!("{host}:{port}");
    let listener = TcpListener::bind(&address).unwrap_or_else(|error| {
        eprintln!("error: cannot listen on {address}: {error}");
        std::process::exit(1);
    });
    let fleet = Arc::new(Mutex::new(Fleet::with_examples()));
    println!("listening on {address}");
    for stream in listener.incoming().flatten() {
        let fleet = Arc::clone(&fleet);
        std::thread::spawn(move || serve(stream, &fleet));
    }
}

fn serve(stream: TcpStream, fleet: &Mutex<Fleet>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let Ok(request) = http::read(&stream) else { return };
    let response = match fleet.lock() {
        Ok(mut fleet) => routes::answer(&request, &mut fleet),
        Err(_) => http::Response::text(500, "the fleet is out of order"),
    };
    println!("{} {} -> {}", request.method, request.path, response.status);
    let _ = http::write(&stream, &response);
}
