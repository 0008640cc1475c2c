/** The files for Kubernetes: valid for its schemas, without a field that it does not know, and right for the server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readInvocation } from "../../src/config/config";
import type { Machine } from "../../src/system/machine";
import { runServer } from "../support/server";

const ROOT = new URL("../../", import.meta.url).pathname;
const KUBERNETES = join(ROOT, "ops/kubernetes");
const README = readFileSync(join(ROOT, "ops/README.md"), "utf8");
const MIB = 1 << 20;
const LIMIT_BYTES = 4096 * MIB;

const documentsOf = (text: string): any[] => [Bun.YAML.parse(text)].flat();
const read = (file: string) => documentsOf(readFileSync(join(KUBERNETES, file), "utf8"));

const ALL = read("breadbox.yaml");
const of = (kind: string, name = "breadbox") =>
  ALL.find((one) => one.kind === kind && one.metadata.name === name);
const SET = of("StatefulSet");
const POD = SET.spec.template.spec;
const [CONTAINER] = POD.containers;
const ENVIRONMENT = Object.fromEntries(CONTAINER.env.map(({ name, value }: any) => [name, value]));
const [SECRET] = read("tokens.yaml");
const BEFORE_CLUSTER = read("origin.yaml");
const beforeCluster = (kind: string) => BEFORE_CLUSTER.find((one) => one.kind === kind);
/** What the server finds in such a container. */
const MACHINE: Machine = {
  platform: "linux",
  cores: 2,
  memoryBytes: LIMIT_BYTES,
  filesMax: 1_048_576,
  backlogMax: 4096,
};

/** Lists of things with names are merged by these, as a strategic merge does. */
function merged(base: any, patch: any): any {
  if (Array.isArray(patch)) {
    const isNamed = patch.every((item) => item?.name !== undefined);
    if (!isNamed || !Array.isArray(base)) return patch;
    const changed = base.map((item) => {
      const change = patch.find(({ name }) => name === item.name);
      return change === undefined ? item : merged(item, change);
    });
    return [...changed, ...patch.filter(({ name }) => !base.some((item) => item.name === name))];
  }
  if (typeof patch !== "object" || patch === null) return patch;
  return Object.entries(patch).reduce(
    (whole, [name, value]) => ({ ...whole, [name]: merged(base?.[name], value) }),
    { ...base },
  );
}

const ON_HOST_NETWORK = merged(SET, read("host-network.yaml")[0]);

/** The StatefulSet with the disk of ops/README.md in place of the volume in memory. */
function onDisk(): any {
  const block = [...README.matchAll(/^```yaml\n([^]*?)^```$/gm)].map(([, text]) => text!);
  expect(block).toHaveLength(1);
  const volumes = POD.volumes.filter(({ name }: any) => name !== "cache");
  const template = merged(SET.spec.template, { spec: { terminationGracePeriodSeconds: 60 } });
  template.spec.volumes = volumes;
  return { ...SET, spec: { ...SET.spec, template, ...(Bun.YAML.parse(block[0]!) as object) } };
}

const VARIANTS: [name: string, object: any][] = [
  ...[...ALL, SECRET].map((one): [string, any] => [`${one.kind} ${one.metadata.name}`, one]),
  ...BEFORE_CLUSTER.map((one): [string, any] => [
    `${one.kind} ${one.metadata.name} before a Valkey Cluster`,
    one,
  ]),
  ["StatefulSet on the node's network", ON_HOST_NETWORK],
  ["StatefulSet with a disk", onDisk()],
];

/** The module that has an object's schema and type. */
const moduleOf = ({ apiVersion, kind }: any) => `kubernetes-models/${apiVersion}/${kind}`;

describe("each object", () => {
  for (const [name, object] of VARIANTS)
    test(`is valid for the schema of its kind: ${name}`, async () => {
      const { [object.kind]: Model } = await import(moduleOf(object));
      expect(() => new Model(structuredClone(object)).validate()).not.toThrow();
    });

  test("that is wrong is not valid", async () => {
    const { StatefulSet } = await import("kubernetes-models/apps/v1/StatefulSet");
    const wrong = merged(SET, { spec: { replicas: "one" } });
    expect(() => new StatefulSet(wrong).validate()).toThrow("replicas");
  });

  describe("has no field that its type does not know", () => {
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), "breadbox-kubernetes-"));
      symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
    });
    afterAll(() => rmSync(folder, { recursive: true }));

    /** What the compiler says about objects, written down as literals: of those it takes no unknown field. */
    function problemsOf(objects: any[]): string {
      const lines = objects.map(
        (object, i) =>
          `import type { I${object.kind} as T${i} } from "${moduleOf(object)}";\nexport const o${i}: T${i} = ${JSON.stringify(object)};\n`,
      );
      writeFileSync(join(folder, "objects.ts"), lines.join(""));
      const run = Bun.spawnSync(
        [
          join(ROOT, "node_modules/.bin/tsc"),
          ...["--noEmit", "--strict", "--skipLibCheck", "--types", ""],
          ...["--module", "Preserve", "--moduleResolution", "bundler", "--target", "ESNext", "objects.ts"],
        ],
        { cwd: folder },
      );
      return run.stdout.toString() + run.stderr.toString();
    }

    test("in the files and their variants", () => {
      expect(problemsOf(VARIANTS.map(([, object]) => object))).toBe("");
    });

    test("which is found where there is one", () => {
      const wrong = merged(SET, {
        spec: { template: { spec: { containers: [{ name: "breadbox", livenesProbe: {} }] } } },
      });
      expect(problemsOf([wrong])).toContain("livenesProbe");
    });
  });
});

describe("the server in it", () => {
  const settingsOf = (variables: Record<string, string>) => {
    const invocation = readInvocation([], variables, MACHINE);
    if (invocation.kind !== "serve") throw new Error("it does not serve");
    return invocation;
  };

  test("takes its environment, and a store that fits the volume and the limit", () => {
    // The image says where to listen.
    const { settings, warnings } = settingsOf({ ...ENVIRONMENT, BREADBOX_HOST: "0.0.0.0" });
    expect(warnings).toEqual([]);
    expect(CONTAINER.resources.limits).toEqual({ cpu: "2", memory: "4Gi" });
    expect(CONTAINER.resources.requests).toEqual(CONTAINER.resources.limits);
    const cache = POD.volumes.find(({ name }: any) => name === "cache").emptyDir;
    expect(cache.medium).toBe("Memory");
    const size = Number(/^(\d+)Mi$/.exec(cache.sizeLimit)![1]) * MIB;
    expect(size).toBeGreaterThan(settings.memoryBytes + MIB);
    expect(size).toBeLessThan(LIMIT_BYTES * 0.75);
    expect(POD.terminationGracePeriodSeconds * 1000).toBeGreaterThan(settings.drainTimeoutMs);
    const { livenessProbe } = CONTAINER;
    expect(livenessProbe.periodSeconds * livenessProbe.failureThreshold * 1000).toBeGreaterThan(
      2 * settings.workerTimeoutMs,
    );
    expect(CONTAINER.ports).toEqual([{ name: "http", containerPort: settings.port }]);
  });

  test("would be told a wrong port by service links, which are off", () => {
    expect(() => settingsOf({ BREADBOX_PORT: "tcp://10.0.0.1:7171" })).toThrow("BREADBOX_PORT");
    expect(POD.enableServiceLinks).toBe(false);
  });

  test("finds what its variables name where it is mounted", () => {
    const mounts = Object.fromEntries(
      CONTAINER.volumeMounts.map(({ name, mountPath }: any) => [name, mountPath]),
    );
    expect(Object.keys(mounts).sort()).toEqual(POD.volumes.map(({ name }: any) => name).sort());
    expect(ENVIRONMENT["BREADBOX_DATA_DIR"]).toBe(mounts.cache);
    const { secret } = POD.volumes.find(({ name }: any) => name === "tokens");
    expect(secret).toEqual({ secretName: SECRET.metadata.name, defaultMode: 0o440 });
    for (const file of Object.keys(SECRET.stringData))
      expect(ENVIRONMENT["BREADBOX_TOKEN_FILE"]).toBe(join(mounts.tokens, file));
  });

  test("does not start with the tokens that stand in the file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "breadbox-tokens-"));
    try {
      const file = join(folder, "tokens");
      writeFileSync(file, SECRET.stringData.tokens, { mode: 0o600 });
      const { code, stderr } = await runServer(["--port", "0", "--token-file", file]);
      expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringContaining("line 1") });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("is confined, as the image's user", () => {
    const dockerfile = readFileSync(join(ROOT, "Dockerfile"), "utf8");
    const [, user, group] = /^USER (\d+):(\d+)$/m.exec(dockerfile)!;
    expect(POD.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: Number(user),
      runAsGroup: Number(group),
      fsGroup: Number(group),
      seccompProfile: { type: "RuntimeDefault" },
    });
    expect(CONTAINER.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    expect(POD.automountServiceAccountToken).toBe(false);
  });

  test("is asked for its health where it answers without a token", () => {
    for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"])
      expect({ probe, asks: CONTAINER[probe].httpGet }).toEqual({
        probe,
        asks: { path: "/healthz", port: CONTAINER.ports[0].name },
      });
  });
});

test("services, budget and policy are about the pods of the set", () => {
  const labels = SET.spec.template.metadata.labels;
  expect(SET.spec.selector.matchLabels).toEqual(labels);
  expect(of("Service").spec.selector).toEqual(labels);
  expect(of("Service", SET.spec.serviceName).spec).toMatchObject({ clusterIP: "None", selector: labels });
  expect(of("PodDisruptionBudget").spec.selector.matchLabels).toEqual(labels);
  const { podSelector, ingress, egress } = of("NetworkPolicy").spec;
  expect(podSelector.matchLabels).toEqual(labels);
  expect(egress).toEqual([]);
  const ports = [
    ...ALL.filter(({ kind }) => kind === "Service").map(({ spec }) => spec.ports),
    ingress[0].ports,
  ].flat();
  expect(ports.map(({ port }) => port)).toEqual([7171, 7171, 7171]);
  const annotations = SET.spec.template.metadata.annotations;
  expect(annotations["prometheus.io/port"]).toBe("7171");
});

test("on the node's network, the port is the node's", () => {
  const { spec } = ON_HOST_NETWORK.spec.template;
  expect(spec).toMatchObject({
    hostNetwork: true,
    dnsPolicy: "ClusterFirstWithHostNet",
    enableServiceLinks: false,
  });
  expect(spec.containers).toHaveLength(1);
  expect(spec.containers[0].ports).toEqual([{ name: "http", containerPort: 7171, hostPort: 7171 }]);
  expect(spec.containers[0].env).toEqual(CONTAINER.env);
});

describe("before a Valkey Cluster", () => {
  const { spec } = beforeCluster("Deployment");

  test("the pods are the same, without a cache of their own to keep, and spread", () => {
    const { topologySpreadConstraints, ...pod } = spec.template.spec;
    const kept = (all: any[]) => all.filter(({ name }) => name !== "cache" && name !== "BREADBOX_DATA_DIR");
    const origin = {
      name: "BREADBOX_ORIGIN",
      valueFrom: { secretKeyRef: { name: "breadbox-origin", key: "url" } },
    };
    const container = {
      ...CONTAINER,
      env: [...kept(CONTAINER.env), origin],
      volumeMounts: kept(CONTAINER.volumeMounts),
    };
    expect(pod).toEqual({ ...POD, containers: [container], volumes: kept(POD.volumes) });
    expect(spec.template.metadata).toEqual(SET.spec.template.metadata);
    expect(spec.replicas).toBeGreaterThan(1);
    expect(topologySpreadConstraints[0].labelSelector).toEqual(spec.selector);
  });

  test("the server takes its environment", () => {
    const { BREADBOX_DATA_DIR: _, ...variables } = ENVIRONMENT;
    const url = /from-literal=url="(\S+)"/.exec(readFileSync(join(KUBERNETES, "origin.yaml"), "utf8"))![1]!;
    const given = { ...variables, BREADBOX_HOST: "0.0.0.0", BREADBOX_ORIGIN: url };
    const invocation = readInvocation([], given, MACHINE);
    expect(invocation).toMatchObject({ kind: "serve", warnings: [] });
    expect(invocation).toMatchObject({
      settings: { origin: { address: { isTls: true, username: "breadbox" } } },
    });
  });

  test("service, budget and policy are about them, and they may reach the cluster and ask for names", () => {
    const labels = spec.template.metadata.labels;
    expect(spec.selector.matchLabels).toEqual(labels);
    expect(beforeCluster("Service").spec.selector).toEqual(labels);
    expect(beforeCluster("PodDisruptionBudget")).toEqual(of("PodDisruptionBudget"));
    const { egress, ...policy } = beforeCluster("NetworkPolicy").spec;
    const { egress: none, ...alone } = of("NetworkPolicy").spec;
    expect([policy, none]).toEqual([alone, []]);
    expect(egress.flatMap(({ ports }: any) => ports.map(({ port }: any) => port))).toEqual([6379, 53, 53]);
  });
});
