// Where coverage is collected the runner switches Node's compile cache off, for the processes that tests start too. Those have no
// coverage to tell, and start in a third of the time with it.
delete process.env["NODE_DISABLE_COMPILE_CACHE"];
