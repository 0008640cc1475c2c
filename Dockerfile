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
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["bun", "src/bin.ts", "health"]
ENTRYPOINT ["bun", "src/bin.ts", "serve"]
