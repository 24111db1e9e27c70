// Keeps an open page fresh: when the server says that something changed, the main part is read again and swapped.
// Without JavaScript, or without the stream, pages are as of their loading and say when that was.
"use strict";
(() => {
  const main = document.querySelector("main");
  const source = document.body.dataset.events;
  if (!main || !source || !window.EventSource) return;
  const light = document.querySelector(".live");
  let known = null;
  let busy = false;
  let again = false;

  async function refresh() {
    // A person who is typing or selecting is not disturbed; the next tick or their next move catches up.
    const active = document.activeElement;
    const typing = active && main.contains(active) && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName);
    if (typing || !document.getSelection().isCollapsed || document.hidden) { again = true; return; }
    if (busy) { again = true; return; }
    busy = true;
    again = false;
    try {
      const answer = await fetch(window.location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      if (!fresh) return;
      main.querySelectorAll("details[id]").forEach((fold) => {
        const twin = fresh.querySelector(`#${CSS.escape(fold.id)}`);
        if (twin) twin.open = fold.open;
      });
      const focused = document.activeElement && document.activeElement.id;
      main.replaceChildren(...fresh.childNodes);
      if (focused && main.querySelector(`#${CSS.escape(focused)}`)) main.querySelector(`#${CSS.escape(focused)}`).focus();
    } catch (error) {
      if (light) light.dataset.state = "lost";
    } finally {
      busy = false;
    }
  }

  const stream = new EventSource(source);
  stream.addEventListener("state", (event) => {
    if (light) light.dataset.state = "live";
    if (known !== null && known !== event.data) refresh();
    known = event.data;
  });
  stream.addEventListener("error", () => { if (light) light.dataset.state = "lost"; });
  const catchUp = () => { if (again) refresh(); };
  document.addEventListener("visibilitychange", catchUp);
  document.addEventListener("focusout", () => window.setTimeout(catchUp, 300));
})();
