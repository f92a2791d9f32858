//! Vehicles and the fleet they belong to.

use crate::json;

/// Below this range, in kilometres, a vehicle has to be charged before it leaves.
const LOW_RANGE_KM: u32 = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Available,
    Charging,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Charging => "charging",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vehicle {
    pub plate: String,
    pub model: String,
    pub range_km: u32,
    pub status: Status,
}

impl Vehicle {
    pub fn new(plate: &str, model: &str, range_km: u32) -> Self {
        let status = if range_km < LOW_RANGE_KM { Status::Charging } else { Status::Available };
        Self { plate: plate.to_owned(), model: model.to_owned(), range_km, status }
    }

    pub fn to_json(&self) -> String {
        format!(
            "{{\"plate\":{},\"model\":{},\"range_km\":{},\"status\":\"{}\"}}",
            json::string(&self.plate),
            json::string(&self.model),
            self.range_km,
            self.status.name()
        )
    }
}

/// Why a vehicle cannot be added.
#[derive(Debug, PartialEq, Eq)]
pub enum AddError {
    NoPlate,
    PlateTaken,
}

#[derive(Debug, Default)]
pub struct Fleet {
    vehicles: Vec<Vehicle>,
}

impl Fleet {
    pub fn with_sample_vehicles() -> Self {
        Self {
            vehicles: vec![
                Vehicle::new("GL-1001", "eSprinter", 250),
                Vehicle::new("GL-1002", "eTransit", 317),
                Vehicle::new("GL-1003", "ID. Buzz Cargo", 12),
            ],
        }
    }

    pub fn vehicles(&self) -> &[Vehicle] {
        &self.vehicles
    }

    pub fn add(&mut self, vehicle: Vehicle) -> Result<&Vehicle, AddError> {
        if vehicle.plate.trim().is_empty() {
            return Err(AddError::NoPlate);
        }
        if self.vehicles.iter().any(|known| known.plate == vehicle.plate) {
            return Err(AddError::PlateTaken);
        }
        self.vehicles.push(vehicle);
        Ok(&self.vehicles[self.vehicles.len() - 1])
    }

    /// Vehicles that can leave now.
    pub fn available(&self) -> usize {
        self.vehicles.iter().filter(|vehicle| vehicle.status == Status::Available).count()
    }

    /// Kilometres that the available vehicles can go, on average; 0 without any.
    pub fn average_range_km(&self) -> u32 {
        let ranges: Vec<u32> = self
            .vehicles
            .iter()
            .filter(|vehicle| vehicle.status == Status::Available)
            .map(|vehicle| vehicle.range_km)
            .collect();
        let sum: u32 = ranges.iter().sum();
        sum.checked_div(ranges.len() as u32).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vehicle_with_little_range_is_charging() {
        assert_eq!(Vehicle::new("A", "m", LOW_RANGE_KM - 1).status, Status::Charging);
        assert_eq!(Vehicle::new("A", "m", LOW_RANGE_KM).status, Status::Available);
    }

    #[test]
    fn a_plate_is_unique_and_not_empty() {
        let mut fleet = Fleet::default();
        assert!(fleet.add(Vehicle::new("A", "m", 100)).is_ok());
        assert_eq!(fleet.add(Vehicle::new("A", "m", 100)), Err(AddError::PlateTaken));
        assert_eq!(fleet.add(Vehicle::new(" ", "m", 100)), Err(AddError::NoPlate));
        assert_eq!(fleet.vehicles().len(), 1);
    }

    #[test]
    fn the_average_range_counts_available_vehicles_only() {
        let mut fleet = Fleet::default();
        assert_eq!(fleet.average_range_km(), 0);
        for (plate, range_km) in [("A", 100), ("B", 300), ("C", 10)] {
            fleet.add(Vehicle::new(plate, "m", range_km)).unwrap();
        }
        assert_eq!(fleet.available(), 2);
        assert_eq!(fleet.average_range_km(), 200);
    }
}
