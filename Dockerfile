# Breadbox in a container. Host networking and a tuned kernel are for the operator: see ops/README.md.
ARG BUN=oven/bun:1.4.5-slim

# Dependencies apart from the source: they are fetched again only when the lock file changes.
FROM ${BUN} AS dependencies
WORKDIR /app
COPY package.json bun.lock ./
RUN bun install --frozen-lockfile --production

FROM ${BUN}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="breadbox" \
  org.opencontainers.image.description="A cache server for the web: HTTP and pipelined WebSocket frames" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
# A volume that is mounted here for BREADBOX_DATA_DIR begins with this owner.
RUN install -d -m 0700 -o 1000 -g 1000 /data
# The root may be read-only: Bun is to keep no translated sources.
ENV BREADBOX_HOST=0.0.0.0 BUN_RUNTIME_TRANSPILER_CACHE_PATH=0
USER 1000:1000
EXPOSE 7171
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["bun", "src/bin.ts", "health"]
ENTRYPOINT ["bun", "src/bin.ts", "serve"]
