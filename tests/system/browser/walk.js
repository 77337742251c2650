// The walk of browser.sh. Everything that is waited for is waited for by its text on the page.
"use strict";
const { chromium } = require("playwright-core");
const { spawn, spawnSync } = require("node:child_process");
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");

const { CONSOLE, SETUP_CODE, AGENT, SCREENSHOTS, SCRATCH } = process.env;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const ADMIN = "admin@example.com";
const PASSWORD = "correct horse battery staple";
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
  const page = await context.newPage();
  listen(page);

  // Set-up, by the code.
  await page.goto(`${CONSOLE}/`);
  await page.getByRole("heading", { name: "Set up this Console" }).waitFor();
  await inspect(page, "setup");
  await page.getByLabel("Setup code").fill(SETUP_CODE);
  await page.getByLabel("E-mail address").fill(ADMIN);
  await page.getByLabel("Password").fill(PASSWORD);
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
  const enrolled = spawnSync(AGENT, files("edge-1", token), { encoding: "utf8" });
  assert.equal(enrolled.status, 0, enrolled.stderr);
  await page.getByText("Enrolled: edge-1.").waitFor();
  await inspect(page, "made-enrolled");

  await page.goto(`${CONSOLE}/ui/deploy/cluster`);
  await inspect(page, "deploy-cluster");
  await page.getByLabel("Cluster name").fill("ran-east");
  await page.getByRole("button", { name: "Generate cluster token" }).click();
  await page.getByText("kind: Secret").waitFor();
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
  await page.getByLabel("approval_mode", { exact: true }).selectOption("all");
  await page.getByRole("button", { name: "Save approval_mode" }).click();
  await page.getByText("The setting is changed.").waitFor();
  await page.goto(`${CONSOLE}/ui/deploy/host`);
  await page.getByLabel("Node name").fill("edge-2");
  await page.getByRole("button", { name: "Generate token" }).click();
  const second = await page.locator("#token").textContent();
  const waiting = spawn(AGENT, files("edge-2", second), { stdio: "ignore" });
  try {
    const left = new Promise((resolve) => waiting.on("exit", resolve));
    await page.getByText("waits for an operator").waitFor();
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
  await page.getByRole("link", { name: "edge-2" }).click();
  await inspect(page, "sensor");
  await page.getByRole("link", { name: "Disable" }).click();
  await page.getByRole("button", { name: "Disable" }).click();
  await page.getByText("The sensor is disabled.").waitFor();

  await page.goto(`${CONSOLE}/ui/audit`);
  await page.getByRole("link", { name: "Verify" }).click();
  await page.getByText("The trail is intact").waitFor();
  await inspect(page, "audit");

  // A viewer sees why not.
  await page.goto(`${CONSOLE}/ui/settings`);
  await page.getByText("New user").click();
  await page.getByLabel("E-mail address").fill("viewer@example.com");
  await page.getByLabel("Password", { exact: false }).last().fill(PASSWORD);
  await page.getByRole("button", { name: "Create user" }).click();
  await page.getByText("The user is changed.").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
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
