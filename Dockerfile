# Greenloop itself: a static program that runs as an unprivileged user.
#
#   docker build --target tools -t greenloop-tools .   with git and a shell, for gates: hub, worker
#   docker build -t greenloop .                        only the program, for verify, rollback, status
FROM rust:1.95.0-alpine3.22 AS build
# For the C dependencies: TLS, libgit2.
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

FROM alpine:3.22.2 AS tools
# ssh, for repositories over ssh.
RUN apk add --no-cache ca-certificates git openssh-client-default
COPY --from=build /greenloop/target/release/greenloop /usr/local/bin/greenloop
# A new volume that is mounted at /work inherits this owner.
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
