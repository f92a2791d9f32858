//! What each path answers.

use crate::depots;
use crate::fleet::{AddError, Fleet, Vehicle};
use crate::http::{Request, Response};
use crate::json;

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
const JSON: &str = "application/json";

pub fn answer(request: &Request, fleet: &mut Fleet) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => front_page(fleet),
        ("GET", "/health") => ok("{\"status\":\"ok\"}".to_owned()),
        ("GET", "/version") => ok(format!("{{\"version\":{}}}", json::string(VERSION))),
        ("GET", "/api/v1/vehicles") => vehicles(fleet),
        ("GET", "/api/v1/depots") => ok(depots::to_json()),
        ("POST", "/api/v1/vehicles") => add(&request.body, fleet),
        (_, "/" | "/health" | "/version" | "/api/v1/vehicles" | "/api/v1/depots") => {
            error(405, "this method is not allowed here")
        }
        _ => error(404, "there is nothing here"),
    }
}

fn ok(body: String) -> Response {
    Response { status: 200, content_type: JSON, body }
}

pub fn error(status: u16, message: &str) -> Response {
    let body = format!("{{\"error\":{}}}", json::string(message));
    Response { status, content_type: JSON, body }
}

fn front_page(fleet: &Fleet) -> Response {
    let body = format!(
        "<!doctype html><title>Fleet</title><h1>Fleet {VERSION}</h1>\
         <p>{} of {} vehicles are available, with {} km of range on average.</p>\n",
        fleet.available(),
        fleet.vehicles().len(),
        fleet.average_range_km()
    );
    Response { status: 200, content_type: "text/html; charset=utf-8", body }
}

fn vehicles(fleet: &Fleet) -> Response {
    let vehicles: Vec<String> = fleet.vehicles().iter().map(Vehicle::to_json).collect();
    ok(format!("{{\"count\":{},\"vehicles\":[{}]}}", vehicles.len(), vehicles.join(",")))
}

fn add(body: &str, fleet: &mut Fleet) -> Response {
    let Some(members) = json::members(body) else {
        return error(400, "the body is not a flat JSON object");
    };
    let member =
        |name: &str| members.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    let (Some(plate), Some(model)) = (member("plate"), member("model")) else {
        return error(422, "`plate` and `model` are needed");
    };
    let Some(range_km) = member("range_km").map_or(Some(0), |text| text.parse().ok()) else {
        return error(422, "`range_km` is a whole number");
    };
    match fleet.add(Vehicle::new(plate, model, range_km)) {
        Ok(vehicle) => Response { status: 201, content_type: JSON, body: vehicle.to_json() },
        Err(AddError::NoPlate) => error(422, "`plate` must not be empty"),
        Err(AddError::PlateTaken) => error(409, "this plate is in the fleet already"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &str, path: &str, body: &str, fleet: &mut Fleet) -> Response {
        let request =
            Request { method: method.to_owned(), path: path.to_owned(), body: body.to_owned() };
        answer(&request, fleet)
    }

    #[test]
    fn every_path_has_its_status() {
        for (method, path, status) in [
            ("GET", "/", 200),
            ("GET", "/health", 200),
            ("GET", "/version", 200),
            ("GET", "/api/v1/vehicles", 200),
            ("GET", "/api/v1/depots", 200),
            ("DELETE", "/api/v1/vehicles", 405),
            ("GET", "/nowhere", 404),
        ] {
            let mut fleet = Fleet::with_sample_vehicles();
            assert_eq!(ask(method, path, "", &mut fleet).status, status, "{method} {path}");
        }
    }

    #[test]
    fn an_added_vehicle_is_answered_and_listed() {
        let mut fleet = Fleet::default();
        let body = r#"{"plate":"GL-7","model":"eVito","range_km":220}"#;
        let response = ask("POST", "/api/v1/vehicles", body, &mut fleet);
        assert_eq!(response.status, 201);
        assert_eq!(
            response.body,
            r#"{"plate":"GL-7","model":"eVito","range_km":220,"status":"available"}"#
        );
        assert!(ask("GET", "/api/v1/vehicles", "", &mut fleet).body.contains("GL-7"));
        assert_eq!(ask("POST", "/api/v1/vehicles", body, &mut fleet).status, 409);
    }

    #[test]
    fn a_body_that_is_no_vehicle_is_refused() {
        for (body, status) in [
            ("nothing", 400),
            ("{}", 422),
            (r#"{"plate":"","model":"m"}"#, 422),
            (r#"{"plate":"A","model":"m","range_km":"far"}"#, 422),
        ] {
            let mut fleet = Fleet::default();
            assert_eq!(ask("POST", "/api/v1/vehicles", body, &mut fleet).status, status, "{body}");
        }
    }
}
