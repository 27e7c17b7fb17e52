"""The program in a replica's process: loads the user's class and serves it over the channel (docs/channel.md).

Two threads. The *main thread* belongs to the user's code and, between two calls, reads frames and answers them, so
that a call costs no switch of threads. The *reader thread* accepts connections, keeps time, and takes the reading
over while user code does not come back. So refusals, pings, cancels and the heartbeat go on whatever the user's code
does. (A synchronous class with ``concurrency`` above 1 has some more threads; then only the reader thread reads.)

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
streams          the items of a generator as lines, text or server-sent events
outbound         one answer on its way out, under the peer's window
call             one request, from its first frame to the last frame of its answer
batch            calls that the class gets as one list
calls            which of them wait and which run
wire             a socket without waiting
connection       one agent or ingress on the socket
guard            the lock over all of these, and the reader thread's event loop
relief           which of the two threads reads
home             how the main thread waits for frames
replica          phase, connections, controls
lifecycle        the heartbeat; draining and ending
reader           the reader thread
outcomes         what hooks, batches and broken streams come to
sync_calls       runs synchronous classes in threads
async_calls      runs asynchronous classes on an event loop
forks            what a forked child must let go of
command          puts it all together
===============  ==========================================================================================
"""
