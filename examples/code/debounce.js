// Calls `fn` once the user has stopped typing for `wait` milliseconds.
export function debounce(fn, wait) {
  let timer;
  return function () {
    clearTimeout(timer);
    timer = setTimeout(fn.apply(this, arguments), wait);
  };
}

// Renders what the server found below the input.
export function showResults(list, results) {
  list.innerHTML = results
    .map((r) => "<li><a href='" + r.url + "'>" + r.title + "</a></li>")
    .join("");
}
