// Replaces the overview when the server says that something changed, and says when it cannot.
(() => {
  const main = document.querySelector("main");
  const live = document.querySelector("#live");
  let busy = false, again = false;
  const say = (text, state) => { live.textContent = text; live.className = state; };
  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch("/overview");
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(answer.status);
      const open = [...main.querySelectorAll("details[open]")].map((it) => it.id);
      main.innerHTML = await answer.text();
      for (const id of open) { const it = document.getElementById(id); if (it) it.open = true; }
      say("● live", "good");
    } catch { say("✕ not connected: what you see is old", "bad"); }
    busy = false;
    if (again) { again = false; refresh(); }
  }
  const source = new EventSource("/live");
  source.addEventListener("changed", refresh);
  source.onopen = () => say("● live", "good");
  source.onerror = () => say("✕ not connected: what you see is old", "bad");
})();
