// The official JavaScript clients against the gateway: node clients.mjs ADDRESS MODEL
import assert from "node:assert/strict";
import OpenAI from "openai";
import { Ollama } from "ollama";

const [address, model] = process.argv.slice(2);
const openai = new OpenAI({ baseURL: `${address}/v1`, apiKey: "none", maxRetries: 0 });
const ollama = new Ollama({ host: address });
const messages = [{ role: "user", content: "Explain how database indexes speed up queries" }];
const checks = {
  async "openai lists"() {
    const names = [];
    for await (const found of openai.models.list()) names.push(found.id);
    assert(names.includes("auto") && names.includes("expert/anna"));
  },
  async "openai chats as it streams"() {
    const whole = await openai.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0 });
    let text = "";
    for await (const chunk of await openai.chat.completions.create({ model, messages, max_tokens: 8, temperature: 0, stream: true })) text += chunk.choices[0]?.delta?.content ?? "";
    assert.equal(text, whole.choices[0].message.content);
  },
  async "openai hears of an unknown model"() {
    await assert.rejects(openai.chat.completions.create({ model: "nobody", messages }), OpenAI.NotFoundError);
  },
  async "openai follows a background response"() {
    const begun = await openai.responses.create({ model: "fast", input: "Name a colour", background: true });
    assert.equal((await openai.responses.retrieve(begun.id)).status, "queued");
    assert.equal((await openai.responses.cancel(begun.id)).status, "cancelled");
  },
  async "ollama lists, shows and tells what runs"() {
    assert((await ollama.list()).models.length > 0);
    assert((await ollama.show({ model: "expert/anna" })).details);
    assert(Array.isArray((await ollama.ps()).models));
  },
  async "ollama chats as it streams"() {
    const options = { num_predict: 8, temperature: 0 };
    const whole = await ollama.chat({ model, messages, options });
    let text = "";
    for await (const piece of await ollama.chat({ model, messages, options, stream: true })) text += piece.message.content;
    assert.equal(text, whole.message.content);
  },
  async "ollama generates, and hears of an unknown model"() {
    assert((await ollama.generate({ model, prompt: "Hi", options: { num_predict: 8 } })).response);
    await assert.rejects(ollama.generate({ model: "nobody", prompt: "Hi" }), /nobody/);
  },
};
const results = {};
for (const [name, check] of Object.entries(checks)) {
  try { await check(); results[name] = "passed"; } catch (error) { results[name] = String(error); }
}
console.log(JSON.stringify(results));
