// Server-sent events, by hand: the browser's own reader sends no header, and the token belongs into no address.

/** Hands each event's object to `take`, until the stream ends or the node has been silent for longer than one that lives. */
export async function readEvents(reader, take) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await Promise.race([reader.read(), after(SILENT_MS)]);
    if (done) return reader.cancel().catch(() => {});
    rest += decoder.decode(value, { stream: true });
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length > 0) take(JSON.parse(data.join("\n")));
    }
  }
}

/** A node that lives says so every five seconds. */
const SILENT_MS = 15000;

function after(ms) {
  return new Promise((resolve) => setTimeout(() => resolve({ done: true }), ms));
}
