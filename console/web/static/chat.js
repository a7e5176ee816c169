"use strict";
// The chat page: sends a question, shows the answer as it comes, stops, copies, makes a task of it.
(() => {
  const one = (query, root) => (root || document).querySelector(query);
  const chat = one("#chat"), words = chat.dataset;
  const text = one("#chat-text"), picker = one("#chat-model"), turns = one("#chat-turns");
  const send = one("#chat-send"), stop = one("#chat-stop"), state = one("#chat-state"), fresh = one("#chat-new");
  let messages = [], running = null;

  function post(path, body, signal) {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": words.csrf };
    return fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  }
  function turn(template) {
    const item = one(template).content.firstElementChild.cloneNode(true);
    turns.append(item);
    return item;
  }
  function busy(yes) {
    send.hidden = yes; stop.hidden = !yes; fresh.hidden = yes || !messages.length;
    one("#chat-hint").hidden = true; turns.setAttribute("aria-busy", yes);
    if (!yes) state.textContent = "";
  }
  const atEnd = () => window.innerHeight + window.scrollY >= document.body.scrollHeight - 40;

  async function ask(question) {
    const model = picker.value;
    one(".said", turn("#chat-question")).textContent = question;
    messages.push({ role: "user", content: question });
    const item = turn("#chat-answer"), sent = messages.slice(), began = performance.now();
    item.answer = { item, text: "", thought: "", usage: null, ended: false, first: null, sent, model };
    one(".who", item).textContent = picker.selectedOptions[0].textContent;
    item.scrollIntoView({ block: "end" });
    running = new AbortController();
    busy(true);
    try {
      const stream = await post("/chat/ask", { model, messages }, running.signal);
      if (!stream.ok) throw new Error((await stream.json()).error.message);
      await read(stream.body.pipeThrough(new TextDecoderStream()).getReader(), item.answer);
      if (!item.answer.ended) throw new Error(words.tBroken);
    } catch (error) {
      const line = one("p.bad", item), stopped = error.name === "AbortError";
      line.textContent = stopped ? words.tStopped : error.message || words.tBroken;
      line.classList.toggle("bad", !stopped); line.hidden = false;
    }
    // An answer that was stopped stays in the exchange; a question without any answer leaves it.
    if (item.answer.text) messages.push({ role: "assistant", content: item.answer.text });
    else messages.pop();
    running = null;
    figures(item.answer, performance.now() - began);
    item.classList.add("done");
    busy(false);
    text.focus();
  }

  async function read(reader, answer) {
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      const follow = atEnd();
      lines.forEach((line) => heard(line.trimEnd(), answer));
      one("div.said:not(details *)", answer.item).textContent = answer.text;
      if (answer.thought) { const thought = one(".thought", answer.item); thought.hidden = false; one(".said", thought).textContent = answer.thought; }
      if (follow) window.scrollTo(0, document.body.scrollHeight);
    }
  }
  function heard(line, answer) {
    if (line.startsWith(":")) { waits(line, answer); return; }
    if (!line.startsWith("data:")) return;
    const data = line.slice(5).trim();
    if (data === "[DONE]") { answer.ended = true; return; }
    const event = JSON.parse(data);
    if (event.error) throw new Error(event.error.message || words.tBroken);
    if (event.usage) answer.usage = event.usage;
    const delta = event.choices && event.choices[0] && event.choices[0].delta;
    if (!delta) return;
    if (delta.content || delta.reasoning_content) { answer.first = answer.first || performance.now(); state.textContent = ""; }
    answer.text += delta.content || "";
    answer.thought += delta.reasoning_content || "";
  }
  function waits(line, answer) {
    const queue = line.match(/queue position=(\d+) expected_seconds=(\d+)/), by = line.match(/answered .*x-kos-backend=(\S+) x-kos-model=(\S+)/);
    if (by) answer.by = `${by[1]}/${by[2]}`;
    else if (queue) state.textContent = `${words.tQueue}: ${queue[1]} · ~${queue[2]} ${words.tSeconds}`;
    else if (line.includes("loading")) state.textContent = `${words.tLoading} …`;
    else if (line.includes("prompt")) state.textContent = `${words.tPrompt} …`;
  }
  function figures(answer, spent) {
    const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} ${words.tSeconds}`;
    const said = [answer.by, seconds(spent)];
    if (answer.usage) said.push(`${answer.usage.completion_tokens} ${words.tTokens}`);
    one(".figures-of", answer.item).textContent = said.filter(Boolean).join(" · ");
  }

  turns.addEventListener("click", async (event) => {
    const button = event.target.closest("button"), item = event.target.closest("li");
    if (!button) return;
    if (button.classList.contains("copy")) {
      await navigator.clipboard.writeText(item.answer.text);
      const before = button.textContent;
      button.textContent = document.body.dataset.tCopied;
      setTimeout(() => { button.textContent = before; }, 1200);
    }
    if (button.classList.contains("task")) {
      button.disabled = true;
      const reply = await post("/chat/task", { model: item.answer.model, messages: item.answer.sent });
      const found = await reply.json();
      if (found.task) { location.assign(found.task); return; }
      const line = one("p[role=alert]", item);
      line.textContent = found.error.message; line.hidden = false; button.disabled = false;
    }
  });
  one("#chat-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = text.value.trim();
    if (!question || running || send.disabled) return;
    text.value = "";
    ask(question);
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); one("#chat-form").requestSubmit(); }
  });
  stop.addEventListener("click", () => running && running.abort());
  fresh.addEventListener("click", () => { messages = []; turns.replaceChildren(); busy(false); one("#chat-hint").hidden = false; text.focus(); });
})();
