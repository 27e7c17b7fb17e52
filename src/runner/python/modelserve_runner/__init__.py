"""The program in a replica's process: loads the user's class and serves it over the channel (docs/channel.md).

Two threads. The *reader* owns the socket and everything that is decided about calls: whether one is accepted, when it
begins, when it is given up. The *main thread* (and, for a synchronous class with ``concurrency`` above 1, some more)
belongs to the user's code. So refusals, pings, cancels and the heartbeat go on whatever the user's code does.

===============  ==========================================================================================
frames           the wire format
launch           the launch file
log_file         where output goes, and its rotation
importing        finds and imports the user's class; failures that name the missing module
starting         constructs it, and judges whether that start has failed
backend          what the class offers: which method is called, whether it is asynchronous, the hooks
fields, form     parts of a request: headers, query, address; urlencoded and multipart bodies
request          what the class is called with
encoding         Python values as JSON; names the path of what cannot be encoded
answers          results and exceptions as status, headers and body
outbound         one answer on its way out, under the peer's window
call             one request, from its first frame to the last frame of its answer
calls            which of them wait and which run
connection       one agent or ingress on the socket
replica          phase, connections, controls
lifecycle        the heartbeat; draining and ending
reader           the reader thread
outcomes         what hooks and broken streams come to
sync_calls       runs synchronous classes in threads
async_calls      runs asynchronous classes on an event loop
forks            what a forked child must let go of
command          puts it all together
===============  ==========================================================================================
"""
