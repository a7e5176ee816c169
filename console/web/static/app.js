"use strict";
// Live parts, keys, ticks, copy. Pages work without it, but for what is live.
(() => {
  const one = (query, root) => (root || document).querySelector(query);
  const all = (query, root) => Array.from((root || document).querySelectorAll(query));

  function problem(text) {
    const line = one("#problem");
    if (!line) return;
    line.textContent = text || "";
    line.hidden = !text;
  }

  // --- the chart -----------------------------------------------------------------------------
  let chart = null;
  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }
  function draw(values) {
    const place = one("#chart");
    if (!place || typeof uPlot === "undefined") return;
    // A minute without any draws nothing: a line at zero would say that something ran or failed.
    const data = [values.at, values.completed.map((count) => count || null), values.failed.map((count) => count || null)];
    if (chart) { chart.setData(data); return; }
    const grid = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--dim"), grid, ticks: grid, font: "12px system-ui" };
    const bars = uPlot.paths.bars({ size: [0.7, 14] });
    chart = new uPlot({
      width: place.clientWidth, height: 180, cursor: { y: false }, legend: { live: true },
      scales: { y: { range: (u, low, high) => [0, Math.max(5, high * 1.1)] } },
      series: [
        { label: place.dataset.time, value: (u, at) => at ? new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false }) : "—" },
        { label: place.dataset.done, stroke: colour("--accent"), fill: colour("--prefill"), width: 1, paths: bars, points: { show: false } },
        { label: place.dataset.failed, stroke: colour("--bad"), fill: colour("--bad"), width: 2, points: { show: true, size: 6 } },
      ],
      axes: [{ ...axis, values: (u, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false })) }, { ...axis, size: 42 }],
    }, data, place);
    new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: 180 })).observe(place);
  }

  // --- the first screen ----------------------------------------------------------------------
  let source = null;
  function watchFirstScreen() {
    const live = one("#live");
    if (!live) return;
    const place = one("#chart");
    if (place) draw(JSON.parse(place.dataset.values));
    source = new EventSource(live.dataset.feed);
    source.addEventListener("parts", (event) => {
      const parts = JSON.parse(event.data);
      for (const [name, text] of Object.entries(parts)) {
        if (name === "chart") draw(JSON.parse(text));
        else if (name === "problem") problem(JSON.parse(text));
        else swap(one(`#part-${name}`), text);
        if (name === "verdict") {
          document.title = one("#verdict").textContent.trim() + " · Knowledge OS Jobs";
          one("#icon").href = `/static/icon-${one("#verdict").dataset.level}.svg`;
        }
      }
    });
    source.addEventListener("open", () => problem(""));
    source.addEventListener("error", () => problem(document.body.dataset.tLost));
  }
  function swap(place, text) {
    if (!place) return;
    const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    place.innerHTML = text;
    // Parts are the same for all who look: the form token is that of this page.
    all('input[name="csrf"]', place).forEach((field) => { field.value = one('.prefs input[name="csrf"]').value; });
    if (focused) { const again = one(`a[href="${CSS.escape(focused)}"]`, place); if (again) again.focus(); }
  }

  // --- a task ----------------------------------------------------------------------------------
  function watchTask() {
    const task = one("#task");
    if (!task || !task.dataset.live) return;
    source = new EventSource(task.dataset.live);
    source.addEventListener("answer", (event) => {
      const said = JSON.parse(event.data), answer = one("#answer"), none = one("#no-answer");
      const atEnd = answer.scrollTop + answer.clientHeight >= answer.scrollHeight - 20;
      if (said.whole !== undefined) answer.textContent = said.whole; else answer.append(said.more);
      if (none) none.hidden = true;
      if (atEnd) answer.scrollTop = answer.scrollHeight;
    });
    source.addEventListener("state", (event) => {
      const said = JSON.parse(event.data);
      const phase = one("#phase");
      if (phase && said.state) phase.textContent = said.state[1][1] || "";
      if (said.changed) refresh(task);
    });
    source.addEventListener("end", () => { source.close(); refresh(task); });
  }
  function addCopyButtons(place) {
    all(".prose pre", place).forEach((code, index) => {
      if (code.closest(".code")) return;
      const frame = document.createElement("div"), button = document.createElement("button");
      frame.className = "code"; button.type = "button"; button.textContent = code.closest(".prose").dataset.tCopy;
      code.id = `code-${index}`; code.tabIndex = 0; button.dataset.copy = code.id;
      code.replaceWith(frame); frame.append(code, button);
    });
  }
  async function refresh(task) {
    const kept = one("#answer") ? one("#answer").textContent : "";
    const answer = await fetch(task.dataset.page, { headers: { "HX-Target": "task" } });
    if (!answer.ok) return;
    const made = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#task");
    if (!made) return;
    all("details[open]", task).forEach((open, index) => { const same = all("details", made)[index]; if (same) same.open = true; });
    task.replaceChildren(...made.childNodes);
    localClocks();
    addCopyButtons(task);
    const place = one("#answer");
    if (place && !place.textContent && made.dataset.live) place.textContent = kept;
  }

  // The server tells UTC; people read the clock on their wall.
  function localClocks() {
    all("time.clock").forEach((time) => { time.textContent = new Date(time.dateTime).toLocaleTimeString([], { hour12: false }); });
  }

  // --- lists: what changed is fetched again, and nothing moves under the pointer -----------------
  const SOONEST = 3000, LATEST = 15000, COST_FACTOR = 100;
  function watchLists() {
    if (!one("[data-list]")) return;
    let wait = SOONEST;
    const again = async () => {
      if (!document.hidden) {
        const began = performance.now();
        try { await renewLists(); problem(""); } catch { problem(document.body.dataset.tLost); }
        wait = Math.min(LATEST, Math.max(SOONEST, COST_FACTOR * (performance.now() - began)));
      }
      setTimeout(again, wait);
    };
    setTimeout(again, wait);
  }
  async function renewLists() {
    const lists = all("[data-list]"), address = location.href;
    const answer = await fetch(address, { headers: lists[0].id === "rows" ? { "HX-Target": "rows" } : {} });
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (address !== location.href) return;
    const selects = one("#selects", page);
    if (selects && one("#selects") && !one("#selects").contains(document.activeElement)) one("#selects").replaceChildren(...selects.childNodes);
    lists.forEach((list) => { const fresh = page.getElementById(list.id); if (fresh) renewList(list, fresh); });
  }
  function renewList(list, fresh) {
    const held = list.matches(":hover") || list.contains(document.activeElement) || one('input[name="id"]:checked', list);
    const known = new Map(all("[data-id]", list).map((row) => [row.dataset.id, row]));
    const rows = all("[data-id]", fresh);
    const same = rows.length === known.size && rows.every((row) => known.has(row.dataset.id));
    if (!held || (same && !known.size)) { replaceList(list, fresh); return; }
    rows.forEach((row) => {
      const old = known.get(row.dataset.id);
      if (old && !old.matches(":hover") && !old.contains(document.activeElement) && old.innerHTML !== row.innerHTML) {
        const box = one('input[name="id"]', old), ticked = box && box.checked;
        old.innerHTML = row.innerHTML;
        if (ticked) one('input[name="id"]', old).checked = true;
      }
    });
    const offer = one("#fresh"), added = rows.filter((row) => !known.has(row.dataset.id)).length;
    offer.textContent = offer.dataset.t.replace("{n}", added);
    offer.hidden = !added;
    offer.onclick = () => replaceList(list, fresh);
  }
  function replaceList(list, fresh) {
    const ticked = new Set(all('input[name="id"]:checked', list).map((box) => box.value));
    const here = one(".here", list);
    list.replaceChildren(...fresh.childNodes);
    all('input[name="id"]', list).forEach((box) => { box.checked = ticked.has(box.value); });
    const again = here && one(`[data-id="${CSS.escape(here.dataset.id)}"]`, list);
    if (again) again.classList.add("here");
    one("#fresh").hidden = true;
    localClocks();
  }

  // --- ticks, copies, confirmations ------------------------------------------------------------
  document.addEventListener("change", (event) => {
    if (event.target.id !== "tick-all") return;
    all('input[name="id"]').forEach((box) => { box.checked = event.target.checked; });
  });
  // The search box loads the list once more when it is left: what was ticked meanwhile stays so.
  let ticked = new Set();
  document.addEventListener("htmx:beforeSwap", () => {
    ticked = new Set(all('input[name="id"]:checked').map((box) => box.value));
  });
  document.addEventListener("htmx:afterSettle", () => {
    all('input[name="id"]').forEach((box) => { box.checked ||= ticked.has(box.value); });
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.id === "keys-open") one("#keys").showModal();
    if (button.dataset.confirm && !window.confirm(button.dataset.confirm)) { event.preventDefault(); return; }
    if (button.dataset.copy) {
      await navigator.clipboard.writeText(one(`#${button.dataset.copy}`).textContent);
      const before = button.textContent;
      button.textContent = document.body.dataset.tCopied;
      setTimeout(() => { button.textContent = before; }, 1200);
    }
  });

  // --- keys --------------------------------------------------------------------------------------
  let afterG = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog")) { if (event.key === "Escape") event.target.blur(); return; }
    const go = afterG && one(`nav a[data-key="${CSS.escape(event.key)}"]`);
    afterG = event.key === "g";
    if (go) { go.click(); return; }
    if (event.key === "?") { const keys = one("#keys"); if (keys) keys.showModal(); }
    else if (event.key === "/") { const search = one("#q"); event.preventDefault(); if (search) search.focus(); else location.href = "/tasks"; }
    else if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
    else if (event.key === "x") { const box = one("tr.here input[type=checkbox]"); if (box) box.checked = !box.checked; }
    else if (event.key === "Enter" && event.target === document.body) { const open = one("tr.here a.open"); if (open) open.click(); }
  });
  function move(step) {
    const rows = all(".list tbody tr");
    if (!rows.length) return;
    const here = rows.findIndex((row) => row.classList.contains("here"));
    const next = rows[Math.min(rows.length - 1, Math.max(0, here + step))];
    rows.forEach((row) => row.classList.remove("here"));
    next.classList.add("here");
    next.scrollIntoView({ block: "nearest" });
  }

  function start() {
    watchFirstScreen();
    watchTask();
    watchLists();
    localClocks();
    addCopyButtons(document);
    if (new URLSearchParams(location.search).has("said")) {
      const clean = new URL(location.href);
      clean.searchParams.delete("said"); clean.searchParams.delete("n");
      history.replaceState(null, "", clean);
    }
  }
  window.addEventListener("pagehide", () => { if (source) source.close(); });
  start();
})();
