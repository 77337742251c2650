// The walk of browser.sh. Everything that is waited for is waited for by its text on the page.
"use strict";
const { chromium } = require("playwright-core");
const { spawn, spawnSync } = require("node:child_process");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const { CONSOLE, SETUP_CODE, AGENT, SCREENSHOTS, SCRATCH, FLEET } = process.env;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const ADMIN = "admin@example.com";
const PASSWORD = "correct horse battery staple";
// A name that helm's `--set` would take for a number.
const CLUSTER = "2026";
const looks = [
  ["light", { colorScheme: "light", viewport: { width: 1280, height: 900 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 1280, height: 900 } }],
  ["phone", { colorScheme: "light", viewport: { width: 375, height: 800 } }],
];

// What the page's own policy forbade, or its script threw.
const complaints = [];
function listen(page) {
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
}

// Looks at the page in every way; axe-core comes in by the debugger's side door, because the policy lets no script in.
async function inspect(page, name) {
  for (const [look, { colorScheme, viewport }] of looks) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(viewport);
    await page.screenshot({ path: path.join(SCREENSHOTS, `${name}-${look}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${name} (${look}) is ${wide} pixels too wide`);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document));
    const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    const told = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
    assert.deepEqual(told, [], `${name} (${look})`);
  }
  await page.setViewportSize(looks[0][1].viewport);
  await page.emulateMedia({ colorScheme: "light" });
}

async function signIn(page, email, password) {
  await page.goto(`${CONSOLE}/ui/login`);
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Sensors" }).waitFor();
}

// What stands in the tab now, wherever a step back has led: a page of the browser's own, perhaps.
async function back(page) {
  await page.goBack({ waitUntil: "commit" }).catch(() => {});
  for (let tries = 0; ; tries++) {
    try {
      await page.waitForLoadState();
      return await page.content();
    } catch (error) {
      // The browser may still be going from an answer that it does not have any more to its own page about that.
      if (tries === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

// Every stop of the Tab key shows where it is, and none is left out.
async function walkByKeyboard(page, name) {
  const wanted = await page.evaluate(() => {
    const all = document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']");
    return [...all].filter((it) => !it.disabled && it.type !== "hidden" && it.checkVisibility()).length;
  });
  await page.evaluate(() => { document.activeElement.blur(); window.scrollTo(0, 0); });
  for (let at = 0; at < wanted; at++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const it = document.activeElement;
      const seen = it.classList.contains("reached");
      it.classList.add("reached");
      return { what: it.outerHTML.slice(0, 120), seen, outline: getComputedStyle(it).outlineStyle, here: it !== document.body };
    });
    assert.ok(stop.here && !stop.seen, `${name}: ${at} of ${wanted} are reached by the keyboard; then ${stop.what}`);
    assert.notEqual(stop.outline, "none", `${name}: where the focus is cannot be seen: ${stop.what}`);
  }
}

const files = (name, token) => {
  const file = path.join(SCRATCH, `${name}.token`);
  fs.writeFileSync(file, token, { mode: 0o600 });
  return ["--config", path.join(SCRATCH, "empty.toml"), "--state-dir", path.join(SCRATCH, name), "enroll", "--console-url", CONSOLE,
    "--bootstrap-ca", path.join(SCRATCH, "console/console-ca.cert.pem"), "--node-name", name, "--token-file", file];
};

async function main() {
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  context.setDefaultTimeout(20000);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  listen(page);

  // Set-up, by the code.
  await page.goto(`${CONSOLE}/`);
  await page.getByRole("heading", { name: "Set up this Console" }).waitFor();
  await inspect(page, "setup");
  await page.getByLabel("Setup code").fill(SETUP_CODE);
  await page.getByLabel("E-mail address").fill(ADMIN);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByLabel("Nodes of a trial").fill("500");
  await page.getByLabel("Vertical").selectOption("telecom");
  await page.getByLabel("Names and addresses").fill("127.0.0.1 localhost");
  await page.getByLabel("Address that hosts are told").fill(CONSOLE);
  await page.getByRole("button", { name: "Set up" }).click();
  await page.getByText("sha256:").waitFor();
  await inspect(page, "setup-done");

  await page.goto(`${CONSOLE}/ui/login`);
  await inspect(page, "login");
  await signIn(page, ADMIN, PASSWORD);
  await inspect(page, "sensors-empty");

  // By the keyboard alone: the first stop leads past the navigation.
  await page.reload();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");

  // A second window that nobody touches: it follows by itself.
  const watcher = await context.newPage();
  listen(watcher);
  await watcher.goto(`${CONSOLE}/ui/sensors`);
  await watcher.getByText("Live", { exact: true }).waitFor();

  // A host is deployed: its line turns from waiting to enrolled by itself.
  await page.getByRole("link", { name: "Deploy sensor" }).first().click();
  await inspect(page, "deploy");
  await page.getByRole("link", { name: "VM or bare metal" }).click();
  await inspect(page, "deploy-host");
  await page.getByLabel("Node name").fill("edge-1");
  await page.getByLabel("Node role").selectOption("o_du");
  await page.getByRole("button", { name: "Generate token" }).click();
  await page.getByText("Waiting for the host.").waitFor();
  const address = page.url();
  assert.ok(!address.includes("tse_"), address);
  const first = await page.locator("[data-left]").textContent();
  await page.waitForFunction((before) => document.querySelector("[data-left]").textContent !== before, first);
  await inspect(page, "made");
  const token = await page.locator("#token").textContent();
  const command = await page.locator("#command").textContent();
  assert.ok(command.includes(token) && command.includes("--ca-fingerprint 'sha256:") && command.includes("'o_du'"));
  await page.getByRole("button", { name: "Copy command" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
  const enrolled = spawnSync(AGENT, files("edge-1", token), { encoding: "utf8" });
  assert.equal(enrolled.status, 0, enrolled.stderr);
  await page.getByText("Enrolled: edge-1.").waitFor();
  await inspect(page, "made-enrolled");
  await watcher.getByRole("link", { name: "edge-1" }).waitFor();
  await watcher.getByRole("link", { name: "1 healthy" }).waitFor();

  // The token is not in the history.
  await page.goto(`${CONSOLE}/ui/tokens`);
  assert.ok(!(await back(page)).includes(token), "a step back shows the token again");

  await page.goto(`${CONSOLE}/ui/deploy/cluster`);
  await inspect(page, "deploy-cluster");
  await page.getByLabel("Cluster name").fill(CLUSTER);
  await page.getByLabel("Valid for days").fill("30");
  await page.getByLabel("Most nodes").fill("40");
  await page.getByRole("button", { name: "Generate cluster token" }).click();
  await page.getByText("kind: Secret").waitFor();
  // browser.sh gives them to helm.
  fs.writeFileSync(path.join(SCRATCH, "secret.yaml"), await page.locator("#secret").textContent());
  fs.writeFileSync(path.join(SCRATCH, "helm.sh"), await page.locator("#helm").textContent());
  await inspect(page, "made-cluster");

  // The cluster's token is revoked.
  await page.goto(`${CONSOLE}/ui/tokens`);
  await inspect(page, "tokens");
  await page.getByRole("link", { name: "Revoke" }).first().click();
  await inspect(page, "confirm");
  await page.getByRole("button", { name: "Revoke" }).click();
  await page.getByText("The token is revoked.").waitFor();

  // A rule.
  await page.goto(`${CONSOLE}/ui/rules`);
  await page.getByLabel("Cluster name").fill("ran-east");
  await page.getByLabel("Label").fill("<script>alert(1)</script>");
  await page.getByLabel("Most nodes").fill("40");
  await page.getByRole("button", { name: "Create rule" }).click();
  await page.getByText("The rule is made.").waitFor();
  await inspect(page, "rules");

  // A host that has to wait is let in.
  await page.goto(`${CONSOLE}/ui/settings`);
  await inspect(page, "settings");
  await walkByKeyboard(page, "settings");
  await page.getByLabel("Approval mode").selectOption("all");
  await page.getByRole("button", { name: "Save Approval mode" }).click();
  await page.getByText("The setting is changed.").waitFor();
  await page.goto(`${CONSOLE}/ui/deploy/host`);
  await page.getByLabel("Node name").fill("edge-2");
  await page.getByRole("button", { name: "Generate token" }).click();
  const second = await page.locator("#token").textContent();
  await watcher.goto(`${CONSOLE}/ui/approvals`);
  await watcher.getByText("Live", { exact: true }).waitFor();
  const waiting = spawn(AGENT, files("edge-2", second), { stdio: "ignore" });
  try {
    const left = new Promise((resolve) => waiting.on("exit", resolve));
    await page.getByText("waits for an operator").waitFor();
    // What is about to be decided does not move under the hand.
    await watcher.getByText("There is something new.").waitFor();
    assert.equal(await watcher.getByRole("cell", { name: "edge-2" }).count(), 0);
    await watcher.getByRole("button", { name: "Show it" }).click();
    await watcher.getByRole("cell", { name: "edge-2", exact: true }).waitFor();
    await watcher.close();
    await page.goto(`${CONSOLE}/ui/approvals`);
    await page.getByLabel("Mark all").check();
    await inspect(page, "approvals");
    await page.getByRole("button", { name: "Approve marked" }).click();
    await page.getByText("Let in;").waitFor();
    assert.equal(await left, 0, "the approved host did not enroll");
  } finally {
    waiting.kill();
  }

  await page.goto(`${CONSOLE}/ui/sensors`);
  await inspect(page, "sensors");
  await walkByKeyboard(page, "sensors");
  await page.getByRole("link", { name: "edge-2" }).click();
  await inspect(page, "sensor");
  await walkByKeyboard(page, "sensor");
  await page.getByRole("link", { name: "Disable" }).click();
  await page.getByRole("button", { name: "Disable" }).click();
  await page.getByText("The sensor is disabled.").waitFor();

  await page.goto(`${CONSOLE}/ui/audit`);
  await page.getByRole("link", { name: "Verify" }).click();
  await page.getByText("The trail is intact").waitFor();
  await inspect(page, "audit");

  // A fleet in every state.
  const seed = spawnSync("python3", [FLEET, path.join(SCRATCH, "console/console.db"), "300"], { encoding: "utf8" });
  assert.equal(seed.status, 0, seed.stderr);
  for (const [name, address] of [["sensors", "sensors?decommissioned=true"], ["tokens", "tokens"], ["rules", "rules"],
    ["approvals", "approvals"]]) {
    await page.goto(`${CONSOLE}/ui/${address}`);
    await inspect(page, `fleet-${name}`);
  }
  await page.goto(`${CONSOLE}/ui/sensors?node_name=worker`);
  await page.getByRole("link", { name: /^worker-/ }).first().click();
  await inspect(page, "fleet-sensor");

  // What is refused says so where it was typed, and beside it stands what was typed.
  await page.goto(`${CONSOLE}/ui/deploy/host`);
  await page.getByLabel("Node name").fill("no name");
  await page.getByRole("button", { name: "Generate token" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Node name").inputValue(), "no name");
  await inspect(page, "deploy-host-refused");
  await page.goto(`${CONSOLE}/ui/nowhere`);
  await inspect(page, "not-found");

  // A viewer sees why not.
  await page.goto(`${CONSOLE}/ui/settings`);
  await page.getByText("New user").click();
  await page.getByLabel("E-mail address").fill("viewer@example.com");
  await page.getByLabel("Password", { exact: false }).last().fill(PASSWORD);
  await page.getByRole("button", { name: "Create user" }).click();
  await page.getByText("The user is changed.").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  assert.ok(!(await back(page)).includes("viewer@example.com"), "a step back shows what was seen before signing out");
  await signIn(page, "viewer@example.com", PASSWORD);
  assert.ok(await page.getByRole("button", { name: "Deploy sensor" }).isDisabled());
  await page.getByText("The role viewer does not reach that far", { exact: false }).last().waitFor();
  await inspect(page, "viewer");
  const refused = await page.goto(`${CONSOLE}/ui/deploy`);
  assert.equal(refused.status(), 403);
  await inspect(page, "refused");

  // And without a script at all.
  const plain = await browser.newContext({ ignoreHTTPSErrors: true, javaScriptEnabled: false });
  const still = await plain.newPage();
  await signIn(still, ADMIN, PASSWORD);
  await still.goto(`${CONSOLE}/ui/deploy/host`);
  await still.getByLabel("Node name").fill("edge-3");
  await still.getByRole("button", { name: "Generate token" }).click();
  assert.match(await still.locator("#token").textContent(), /^tse_/);

  assert.deepEqual(complaints, []);
  await browser.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
