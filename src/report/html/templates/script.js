// What the page can do beyond being read: a theme of one's own, tables that sort, filter and copy, and a
// cross-hair over pictures. Without it everything can be read as it is.
'use strict';
(() => {
  const make = (name, text) => {
    const element = document.createElement(name);
    if (text) element.textContent = text;
    return element;
  };

  // The theme: what the system asks for, light, dark. A page that was opened as a file may have no storage.
  const root = document.documentElement;
  const themes = ['auto', 'light', 'dark'];
  const stored = {
    get() { try { return localStorage.getItem('slmbench-theme'); } catch { return null; } },
    set(theme) { try { localStorage.setItem('slmbench-theme', theme); } catch { /* not kept */ } },
  };
  const button = document.getElementById('theme');
  let theme = themes.includes(stored.get()) ? stored.get() : 'auto';
  const show = () => {
    if (theme === 'auto') delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.textContent = 'theme: ' + theme;
  };
  button.hidden = false;
  button.addEventListener('click', () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    stored.set(theme);
    show();
  });
  show();

  // Numbers as they are shown: thousands apart, a long minus, an interval in brackets, a unit behind;
  // minutes and seconds.
  const number = (text) => {
    const time = /^(\d+) min(?: (\d+) s)?$/.exec(text);
    if (time) return 60 * time[1] + +(time[2] ?? 0);
    return parseFloat(text.replace(/[\u202f\s]/g, '').replace('\u2212', '-').replace(/^\[/, ''));
  };
  const words = new Intl.Collator('en', { numeric: true });

  const sort = (table, heads, at) => {
    const head = heads[at];
    const up = head.getAttribute('aria-sort') === (head.className === 'r' ? 'descending' : 'ascending');
    const ascending = head.className === 'r' ? up : !up;
    for (const other of heads) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => {
      const text = row.cells[at].textContent;
      return { row, text, value: number(text) };
    });
    const sign = ascending ? 1 : -1;
    keyed.sort((a, b) => {
      if (head.className !== 'r') return sign * words.compare(a.text, b.text);
      // What is missing stands last, whichever way it is sorted.
      if (isNaN(a.value) || isNaN(b.value)) return isNaN(a.value) - isNaN(b.value);
      return sign * (a.value - b.value);
    });
    const sorted = document.createDocumentFragment();
    for (const { row } of keyed) sorted.append(row);
    body.append(sorted);
  };

  // A field of CSV. A text that a spreadsheet would take for a formula is kept from being one.
  const field = (text) => {
    const safe = /^[=+@\t\r-]/.test(text) && isNaN(text) ? "'" + text : text;
    return /[",\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  };
  const csv = (table) =>
    [...table.rows]
      .filter((row) => !row.hidden)
      .map((row) => [...row.cells].map((cell) => field(cell.textContent)).join(','))
      .join('\n') + '\n';

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make('textarea');
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand('copy');
      area.remove();
      return done;
    }
    return true;
  };

  for (const table of document.querySelectorAll('table')) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => {
      const sorter = make('button', head.textContent);
      sorter.type = 'button';
      sorter.addEventListener('click', () => sort(table, heads, at));
      head.replaceChildren(sorter);
    });
    // What is cut is told in full to who points at it.
    table.addEventListener('pointerover', ({ target }) => {
      if (target.tagName === 'TD' && target.scrollWidth > target.clientWidth) target.title = target.textContent;
    });
  }

  for (const box of document.querySelectorAll('.tools')) {
    const table = box.querySelector('table');
    const rows = [...table.tBodies[0].rows];
    const texts = new Map();
    const bar = make('div');
    const filter = make('input');
    const count = make('span', rows.length + ' rows');
    const copier = make('button', 'copy as CSV');
    bar.className = 'toolbar';
    filter.type = 'search';
    filter.placeholder = 'filter: every word has to occur';
    filter.setAttribute('aria-label', 'filter rows: ' + table.caption.textContent);
    count.setAttribute('role', 'status');
    copier.type = 'button';
    let waiting;
    const apply = () => {
      const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        if (!texts.has(row)) texts.set(row, [...row.cells].map((c) => c.textContent).join('\n').toLowerCase());
        const fits = wanted.every((word) => texts.get(row).includes(word));
        row.hidden = !fits;
        shown += fits;
      }
      count.textContent = shown === rows.length ? shown + ' rows' : shown + ' of ' + rows.length + ' rows';
    };
    filter.addEventListener('input', () => {
      clearTimeout(waiting);
      waiting = setTimeout(apply, rows.length > 500 ? 150 : 0);
    });
    copier.addEventListener('click', async () => {
      copier.textContent = (await copy(csv(table))) ? 'copied' : 'could not be copied';
      setTimeout(() => { copier.textContent = 'copy as CSV'; }, 1500);
    });
    bar.append(filter, count, copier);
    box.prepend(bar);
  }

  // The cross-hair: it snaps to the nearest point of which something is told, and tells it below.
  const SVG = 'http://www.w3.org/2000/svg';
  for (const figure of document.querySelectorAll('figure')) {
    const svg = figure.querySelector('svg');
    const tips = svg ? [...svg.querySelectorAll('rect.tip')] : [];
    if (!tips.length) continue;
    const told = make('output');
    told.className = 'told';
    told.setAttribute('aria-live', 'off');
    figure.append(told);
    const hairs = [0, 1].map(() => document.createElementNS(SVG, 'line'));
    for (const hair of hairs) hair.setAttribute('class', 'hair');
    let places;
    const draw = (hair, x1, y1, x2, y2) => {
      const ends = { x1, y1, x2, y2 };
      for (const name in ends) hair.setAttribute(name, ends[name]);
    };
    const clear = () => {
      for (const hair of hairs) hair.remove();
      told.textContent = '';
    };
    svg.addEventListener('pointermove', (event) => {
      places ??= tips.map((tip) => {
        const [x, y, w, h] = ['x', 'y', 'width', 'height'].map((name) => +tip.getAttribute(name));
        return { x, y, w, h, text: tip.textContent };
      });
      const box = svg.getBoundingClientRect();
      const { width, height } = svg.viewBox.baseVal;
      const scale = width / box.width;
      const x = (event.clientX - box.left) * scale;
      const y = (event.clientY - box.top) * scale;
      let best;
      let least = 400;
      for (const place of places) {
        const dx = Math.max(place.x - x, 0, x - place.x - place.w);
        const dy = Math.max(place.y - y, 0, y - place.y - place.h);
        // Within several, the nearest middle counts.
        const middle = Math.hypot(place.x + place.w / 2 - x, place.y + place.h / 2 - y);
        const far = Math.hypot(dx, dy) + middle / 1e6;
        if (far < least) [best, least] = [place, far];
      }
      if (!best) return clear();
      const isPoint = best.w < 300 && best.h < 300;
      const at = isPoint ? [best.x + best.w / 2, best.y + best.h / 2] : [x, y];
      draw(hairs[0], at[0], 0, at[0], height);
      draw(hairs[1], 0, at[1], width, at[1]);
      svg.append(...hairs);
      told.textContent = best.text;
    });
    svg.addEventListener('pointerleave', clear);
  }

  // What is folded because there is much of it is printed all the same.
  let opened = [];
  addEventListener('beforeprint', () => {
    opened = [...document.querySelectorAll('details.more:not([open])')];
    for (const fold of opened) fold.open = true;
  });
  addEventListener('afterprint', () => {
    for (const fold of opened) fold.open = false;
  });
})();
