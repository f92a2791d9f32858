//! What is answered to which request.

use crate::fleet::Fleet;
use crate::http::{Request, Response};

pub fn answer(request: &Request, fleet: &mut Fleet) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/health") => Response::json(200, r#"{"status":"ok"}"#.to_owned()),
        ("GET", "/version") => {
            let version = env!("CARGO_PKG_VERSION");
            Response::json(200, format!("{{\"version\":\"{version}\"}}"))
        }
        ("GET", "/") => Response::text(200, "fleet service: see /api/v1/vehicles\n"),
        ("GET", "/api/v1/vehicles") => Response::json(200, fleet.to_json()),
        ("POST", "/api/v1/vehicles") => match request.body.trim() {
            "" => Response::text(400, "the body must be the vehicle's name"),
            name => {
                let id = fleet.register(name);
                Response::json(201, format!("{{\"id\":{id}}}"))
            }
        },
        ("DELETE", path) => match path.strip_prefix("/api/v1/vehicles/").map(str::parse) {
            Some(Ok(id)) if fleet.retire(id) => Response::json(200, "{}".to_owned()),
            _ => Response::text(404, "no such vehicle"),
        },
        ("GET" | "POST", _) => Response::text(404, "no such page"),
        _ => Response::text(405, "method not allowed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, path: &str, body: &str) -> Response {
        let request =
            Request { method: method.to_owned(), path: path.to_owned(), body: body.to_owned() };
        answer(&request, &mut Fleet::with_examples())
    }

    #[test]
    fn the_service_is_healthy() {
        assert_eq!(ask("GET", "/health", "").status, 200);
    }

    #[test]
    fn vehicles_can_be_registered() {
        let response = ask("POST", "/api/v1/vehicles", "Vito");
        assert_eq!((response.status, response.body.as_str()), (201, "{\"id\":4}"));
        assert_eq!(ask("POST", "/api/v1/vehicles", " ").status, 400);
    }

    #[test]
    fn what_is_not_there_is_said_so() {
        assert_eq!(ask("GET", "/nope", "").status, 404);
        assert_eq!(ask("DELETE", "/api/v1/vehicles/99", "").status, 404);
        assert_eq!(ask("PUT", "/", "").status, 405);
    }
}
