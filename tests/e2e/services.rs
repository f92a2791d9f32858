//! The real services for deliveries in tests.

/// The addresses of the engine and the registry; `None` to skip these tests.
pub(crate) fn services() -> Option<(String, String)> {
    let read = |name: &str| {
        std::env::var(name).expect(
            "GREENLOOP_TEST_DOCKER and GREENLOOP_TEST_REGISTRY say where a Docker Engine and a \
             registry are (scripts/services.sh starts them); `skip` leaves these tests out",
        )
    };
    let (docker, registry) = (read("GREENLOOP_TEST_DOCKER"), read("GREENLOOP_TEST_REGISTRY"));
    (docker != "skip" && registry != "skip").then_some((docker, registry))
}
