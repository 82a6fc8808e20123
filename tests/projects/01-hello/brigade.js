// Nothing but a line at the top: a script needs no handler to run.
console.log("hello from the top of a script");
