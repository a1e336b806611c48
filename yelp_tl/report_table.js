"use strict";
/* Sorting and filters for tables of class "browse". Without this script they are plain tables. */
for (const table of document.querySelectorAll("table.browse")) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const said = (row, column) => row.cells[column].textContent.trim();
  const amount = (row, column) => parseFloat(said(row, column).replace(/,/g, ""));
  const make = (name, settings) => Object.assign(document.createElement(name), settings);

  const tests = [];
  const bar = make("div", { className: "filters" });
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Choose rows");
  const count = make("output");
  const apply = () => {
    for (const row of rows) row.hidden = !tests.every((test) => test(row));
    count.textContent = rows.filter((row) => !row.hidden).length + " of " + rows.length + " rows shown";
  };
  const add = (name, control, test) => {
    const label = make("label");
    label.append(name + " ", control);
    bar.append(label);
    control.addEventListener("input", apply);
    tests.push(test);
  };
  const choice = (values, ending) => {
    const select = make("select");
    select.append(new Option("any", ""));
    for (const value of values) select.append(new Option(value + ending, value));
    return select;
  };

  heads.forEach((head, column) => {
    const name = head.textContent.trim();
    const kind = head.dataset.column;
    const found = Array.from(new Set(rows.map((row) => amount(row, column)))).sort((one, other) => one - other);
    if (kind === "equal") {
      const select = choice(found, "");
      add(name, select, (row) => select.value === "" || amount(row, column) === Number(select.value));
    } else if (kind === "least") {
      const select = choice(found, " or more");
      add(name, select, (row) => select.value === "" || amount(row, column) >= Number(select.value));
    } else if (kind === "marked") {
      const box = make("input", { type: "checkbox" });
      add(name, box, (row) => !box.checked || said(row, column) === "yes");
    } else if (kind === "text") {
      const field = make("input", { type: "search" });
      add(name + " with", field, (row) => said(row, column).toLowerCase().includes(field.value.trim().toLowerCase()));
    }
    if (kind === "marked" || kind === "text") return;
    const button = make("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((one, other) => (down ? -1 : 1) * (amount(one, column) - amount(other, column)));
      body.append(...rows);
    });
  });

  bar.append(count);
  apply();
  table.closest(".scroll").before(bar);
}
