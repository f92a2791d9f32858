# Greenloop itself: a static program that runs as nobody.
#
#   docker build --target tools -t greenloop-tools .   with git and a shell, to run gates in: hub, worker
#   docker build -t greenloop .                        the program alone, for verify, rollback, status
FROM rust:1.95-alpine AS build
# For the C parts: TLS, libgit2.
RUN apk add --no-cache build-base cmake perl
WORKDIR /greenloop
COPY Cargo.toml Cargo.lock build.rs* ./
COPY src src
COPY crates crates
COPY demo demo
COPY docs docs
COPY examples examples
COPY benches benches
ENV LIBZ_SYS_STATIC=1
RUN cargo build --release --locked --bin greenloop

FROM alpine:3.22 AS tools
# ssh for repositories that are reached by it.
RUN apk add --no-cache ca-certificates git openssh-client-default
COPY --from=build /greenloop/target/release/greenloop /usr/local/bin/greenloop
# A volume that is mounted at /work for the first time takes its owner from here.
RUN adduser -D -u 65532 greenloop && install -d -o 65532 -g 65532 -m 0755 /work
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["greenloop"]

FROM scratch
COPY --from=tools /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /greenloop/target/release/greenloop /greenloop
USER 65532:65532
WORKDIR /work
ENTRYPOINT ["/greenloop"]
