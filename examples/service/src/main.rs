//! The fleet service: vehicles over HTTP, on the standard library alone.

mod api;
mod depots;
mod fleet;
mod http;
mod json;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fleet::Fleet;

fn main() -> ExitCode {
    let port = match std::env::var("PORT").ok().and_then(|port| port.parse::<u16>().ok()) {
        Some(port) => port,
        None => {
            eprintln!("PORT must be set to the port to listen on");
            return ExitCode::from(2);
        }
    };
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on 127.0.0.1:{port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let region = std::env::var("FLEET_REGION").unwrap_or_else(|_| "unknown".to_owned());
    println!("fleet-service {} in region {region} listens on 127.0.0.1:{port}", api::VERSION);
    let fleet = Arc::new(Mutex::new(Fleet::with_sample_vehicles()));
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                let fleet = Arc::clone(&fleet);
                thread::spawn(move || serve(stream, &fleet));
            }
            Err(error) => eprintln!("cannot accept: {error}"),
        }
    }
    ExitCode::SUCCESS
}

/// One request, one answer, one line in the log.
fn serve(mut stream: TcpStream, fleet: &Mutex<Fleet>) {
    let began = Instant::now();
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
    let (line, response) = match http::read_request(&mut stream) {
        Ok(request) => {
            let mut fleet = fleet.lock().unwrap_or_else(PoisonError::into_inner);
            let line = format!("{} {}", request.method, request.path);
            (line, api::answer(&request, &mut fleet))
        }
        Err(error) => ("bad request".to_owned(), api::error(400, &error.to_string())),
    };
    println!("{line} -> {} in {} us", response.status, began.elapsed().as_micros());
    if let Err(error) = http::write_response(&mut stream, &response) {
        eprintln!("{line}: cannot answer: {error}");
    }
}
