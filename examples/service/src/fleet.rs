//! The vehicles of a fleet.

pub struct Vehicle {
    pub id: u32,
    pub name: String,
    pub active: bool,
}

pub struct Fleet {
    vehicles: Vec<Vehicle>,
    /// Ids are never given twice, not even after a vehicle was retired.
    next_id: u32,
}

impl Fleet {
    pub fn new() -> Self {
        Self { vehicles: Vec::new(), next_id: 1 }
    }

    pub fn with_examples() -> Self {
        let mut fleet = Self::new();
        for name in ["Transit", "Škoda Enyaq", "Sprinter"] {
            fleet.register(name);
        }
        fleet
    }

    /// Adds a vehicle and returns its id.
    pub fn register(&mut self, name: &str) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        self.vehicles.push(Vehicle { id, name: name.to_owned(), active: true });
        id
    }

    /// Takes a vehicle out of the fleet. Whether it was there.
    pub fn retire(&mut self, id: u32) -> bool {
        let before = self.vehicles.len();
        self.vehicles.retain(|vehicle| vehicle.id != id);
        self.vehicles.len() < before
    }

    pub fn to_json(&self) -> String {
        let vehicles: Vec<String> = self.vehicles.iter().map(Vehicle::to_json).collect();
        format!("{{\"count\":{},\"vehicles\":[{}]}}", self.vehicles.len(), vehicles.join(","))
    }
}

impl Vehicle {
    pub fn to_json(&self) -> String {
        format!(
            "{{\"id\":{},\"name\":\"{}\",\"active\":{}}}",
            self.id,
            escape(&self.name),
            self.active
        )
    }
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vehicle_gets_an_id_of_its_own() {
        let mut fleet = Fleet::new();
        assert_eq!(fleet.register("Transit"), 1);
        assert_eq!(fleet.register("Sprinter"), 2);
    }

    #[test]
    fn a_retired_vehicle_is_gone() {
        let mut fleet = Fleet::new();
        let id = fleet.register("Transit");
        assert!(fleet.retire(id));
        assert!(!fleet.retire(id));
    }

    #[test]
    fn names_are_escaped() {
        let mut fleet = Fleet::new();
        fleet.register("the \"big\" one");
        assert!(fleet.to_json().contains(r#"the \"big\" one"#));
    }
}
