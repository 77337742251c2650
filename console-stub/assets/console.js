// What a page does beyond forms and links: copies, counts down, follows what happens. Every page works without it.
"use strict";

// As the server sent them, before anything here changes them.
const regions = [...document.querySelectorAll("[data-live]")].map((region) => ({ region, sent: region.innerHTML }));

function enhance(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button, document.getElementById(button.dataset.copy)));
  }
  for (const line of root.querySelectorAll("[data-left]")) countDown(line);
  for (const box of root.querySelectorAll("input[data-all]")) {
    box.closest("label").hidden = false;
    box.addEventListener("change", () => {
      for (const other of document.querySelectorAll(`input[name="${box.dataset.all}"]`)) other.checked = box.checked;
    });
  }
}

async function copy(button, from) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    button.textContent = "Copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(from);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected: copy it now";
  }
}

// data-left is what the server's clock says; the browser's own may be wrong.
function countDown(line) {
  const end = performance.now() + 1000 * Number(line.dataset.left);
  const two = (n) => String(n).padStart(2, "0");
  const tick = () => {
    const left = Math.max(0, Math.round((end - performance.now()) / 1000));
    const [h, m, s] = [Math.floor(left / 3600), Math.floor((left % 3600) / 60), left % 60];
    line.textContent = left === 0 ? "over" : h > 48 ? `${Math.floor(h / 24)} d` : h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
    if (left > 0 && line.isConnected) setTimeout(tick, 1000);
  };
  tick();
}

// What is shown once does not come back with the page when a browser keeps it for its back button.
addEventListener("pagehide", () => {
  for (const once of document.querySelectorAll("[data-once]")) once.textContent = "It was shown once.";
});

// What the page asks for by itself does not keep a session alive.
const ask = (address) => fetch(address, { headers: { "x-telovix-watches": "1" }, redirect: "manual" });

// A stream is open only while somebody looks: a browser has few connections to a server. When it is refused, either the
// session has ended, and what the page shows is no longer anybody's, or the server will be back.
function listen(address, name, hear, say = () => {}) {
  let source = null;
  let over = false;
  const close = () => {
    source?.close();
    source = null;
  };
  const open = () => {
    if (source || over || document.hidden) return;
    const mine = new EventSource(address);
    source = mine;
    mine.addEventListener("open", () => say("live"));
    mine.addEventListener(name, (event) => {
      over = hear(event.data) === true;
      if (over) close();
    });
    mine.addEventListener("error", async () => {
      // Each stream ends after a while and is opened again; only a refusal is worth a word.
      if (mine.readyState !== EventSource.CLOSED) return;
      say("waits");
      if (source === mine) close();
      const entry = await ask("/ui/login").catch(() => null);
      if (entry?.ok) location.assign("/ui/login");
      else setTimeout(open, 5000);
    });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);
  open();
}

for (const line of document.querySelectorAll("[data-events]")) {
  listen(line.dataset.events, "story", (data) => {
    const story = JSON.parse(data);
    line.dataset.state = story.state;
    line.querySelector("[data-says]").textContent = story.says;
    return story.over;
  });
}

// Puts what the server sent in place of what is shown; marks and the keyboard's place stay.
function put(at, fresh) {
  const marked = new Set([...at.region.querySelectorAll("input:checked")].map((box) => box.value));
  const focused = at.region.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  at.sent = fresh.innerHTML;
  at.region.replaceChildren(...document.importNode(fresh, true).childNodes);
  enhance(at.region);
  for (const box of at.region.querySelectorAll("input[name]")) box.checked = marked.has(box.value);
  if (focused) [...at.region.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
}

// A list that is acted upon does not move under the hand: it says that there is something new, and waits to be asked.
function offer(bar, at, fresh) {
  bar.hidden = false;
  bar.querySelector("button").onclick = () => {
    bar.hidden = true;
    put(at, fresh);
  };
}

async function renew() {
  const answer = await ask(location.href);
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const at of regions) {
    const fresh = page.getElementById(at.region.id);
    const selects = !getSelection().isCollapsed && at.region.contains(getSelection().anchorNode);
    if (!fresh || selects) continue;
    const bar = document.querySelector(`[data-news="${at.region.id}"]`);
    if (fresh.innerHTML === at.sent) {
      if (bar) bar.hidden = true;
    } else if (bar) {
      offer(bar, at, fresh);
    } else {
      put(at, fresh);
    }
  }
}

if (regions.length > 0) {
  let shown = document.body.dataset.stamp;
  const following = document.querySelector("[data-following]");
  const hear = (stamp) => {
    if (stamp === shown) return;
    shown = stamp;
    // What cannot be fetched now is fetched with the next news.
    renew().catch(() => {});
  };
  const say = (state) => {
    if (!following) return;
    following.hidden = false;
    following.dataset.following = state;
    following.textContent = state === "live" ? "Live" : "Reconnecting";
  };
  listen("/ui/events", "news", hear, say);
}

enhance(document);
// On a phone the navigation is longer than the screen: where one is, is to be seen. By its own scrolling, because a jump to the
// entry would be where the keyboard goes on from.
const here = document.querySelector("nav [aria-current]");
if (here) {
  const nav = here.closest("nav");
  nav.scrollLeft = here.offsetLeft - nav.offsetLeft - (nav.clientWidth - here.clientWidth) / 2;
}
