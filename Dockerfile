# Breadbox in a container: one executable, the libraries that it is linked with, and nothing else; no shell and no package manager.
# Host networking and a tuned kernel are for the operator: see ops/README.md.
ARG BUN=oven/bun:1.4.5-slim

FROM ${BUN} AS build
WORKDIR /app
# Dependencies apart from the source: they are fetched again only when the lock file changes.
COPY package.json bun.lock ./
RUN bun install --frozen-lockfile --production
COPY src ./src
RUN bun run build:binary
# ldd names libraries and the loader by their paths; the image has them at the same.
RUN install -D dist/breadbox /image/usr/local/bin/breadbox \
  && ldd dist/breadbox | grep -o '/[^ ]*' | xargs -I LIBRARY cp --parents --dereference LIBRARY /image \
  && install -d -m 0700 /kept/data

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="breadbox" \
  org.opencontainers.image.description="A cache server for the web: HTTP and pipelined WebSocket frames" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image /
# A volume that is mounted at /data for BREADBOX_DATA_DIR begins with this owner.
COPY --from=build --chown=1000:1000 /kept /
ENV PATH=/usr/local/bin BREADBOX_HOST=0.0.0.0
USER 1000:1000
EXPOSE 7171
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["breadbox", "health"]
ENTRYPOINT ["breadbox", "serve"]
