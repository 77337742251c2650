// What a page does beyond forms and links: copies, counts down, listens. Every page works without it.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy).textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(document.getElementById(button.dataset.copy));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected: copy it now";
    }
  });
}

// data-left is what the server's clock says; the browser's own may be wrong.
for (const line of document.querySelectorAll("[data-left]")) {
  const end = performance.now() + 1000 * Number(line.dataset.left);
  const tick = () => {
    const left = Math.max(0, Math.round((end - performance.now()) / 1000));
    const [h, m, s] = [Math.floor(left / 3600), Math.floor((left % 3600) / 60), left % 60];
    const two = (n) => String(n).padStart(2, "0");
    line.textContent = left === 0 ? "over" : h > 48 ? `${Math.floor(h / 24)} d` : h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
    if (left > 0) setTimeout(tick, 1000);
  };
  tick();
}

for (const line of document.querySelectorAll("[data-events]")) {
  const source = new EventSource(line.dataset.events);
  source.addEventListener("story", (event) => {
    const story = JSON.parse(event.data);
    line.dataset.state = story.state;
    line.querySelector("[data-says]").textContent = story.says;
    if (story.over) source.close();
  });
}

for (const box of document.querySelectorAll("input[data-all]")) {
  box.closest("label").hidden = false;
  box.addEventListener("change", () => {
    for (const other of document.querySelectorAll(`input[name="${box.dataset.all}"]`)) other.checked = box.checked;
  });
}
