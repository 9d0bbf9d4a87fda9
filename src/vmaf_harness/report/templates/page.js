"use strict";
// Better with this, whole without it: numbers at a point, its row and its frames at a click, tables in another order.
(() => {
  const tip = document.getElementById("tip");
  const say = (marked, x, y) => {
    const title = marked.querySelector("title");
    tip.textContent = marked.dataset.words || (title ? title.textContent : "");
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 4))}px`;
    tip.style.top = `${y + 18 + box.height > innerHeight ? Math.max(4, y - box.height - 10) : y + 18}px`;
  };
  for (const marked of document.querySelectorAll("[data-asset].point, [data-asset].line")) {
    const title = marked.querySelector("title");
    if (title) {  // the browser's own words would come on top of ours
      marked.dataset.words = title.textContent;
      title.remove();
    }
    marked.addEventListener("pointermove", (event) => say(marked, event.clientX, event.clientY));
    marked.addEventListener("pointerleave", () => { tip.hidden = true; });
    marked.addEventListener("click", () => choose(marked.dataset.asset));
  }
  const choose = (asset) => {
    tip.hidden = true;
    for (const old of document.querySelectorAll(".chosen")) old.classList.remove("chosen");
    for (const old of document.querySelectorAll("svg.choosing")) old.classList.remove("choosing");
    for (const each of document.querySelectorAll(`[data-asset="${CSS.escape(asset)}"]`)) {
      each.classList.add("chosen");
      if (each.matches(".line")) each.closest("svg").classList.add("choosing");
    }
    const frames = document.getElementById(`clip-${asset}`)
      || document.querySelector(`.line[data-asset="${CSS.escape(asset)}"]`)
      || document.querySelector(`tr[data-asset="${CSS.escape(asset)}"]`);
    if (frames) frames.scrollIntoView({ block: "center" });
  };
  for (const row of document.querySelectorAll("tr[data-asset]")) {
    row.addEventListener("click", (event) => {
      if (!event.target.closest("details, a, button, code")) choose(row.dataset.asset);
    });
  }
  for (const image of document.querySelectorAll(".frames img")) {
    image.addEventListener("click", () => image.closest(".frames").classList.toggle("full"));
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => {
          const cell = row.cells[head.cellIndex];
          const number = Number.parseFloat(cell.dataset.value);
          return Number.isNaN(number) ? cell.textContent.trim() : number;
        };
        const order = (one, other) => {
          const [a, b] = [key(one), key(other)];
          if (typeof a === "number" && typeof b === "number") return a - b;
          return String(a).localeCompare(String(b));
        };
        const rows = [...body.rows].sort(order);
        body.append(...(down ? rows.reverse() : rows));
      });
    }
  }
})();
