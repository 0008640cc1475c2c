# Breadbox in a container. Host networking and a tuned kernel are for the operator: see ops/.
FROM oven/bun:1.4.5-slim AS dependencies
WORKDIR /app
COPY package.json bun.lock ./
RUN bun install --frozen-lockfile --production

FROM oven/bun:1.4.5-slim
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY src ./src
USER 1000:1000
ENV BREADBOX_HOST=0.0.0.0
EXPOSE 7171
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=2s --start-period=5s \
  CMD ["bun", "-e", "const r = await fetch(`http://127.0.0.1:${process.env.BREADBOX_PORT ?? process.env.PORT ?? 7171}/healthz`); process.exit(r.ok ? 0 : 1)"]
ENTRYPOINT ["bun", "src/main.ts"]
