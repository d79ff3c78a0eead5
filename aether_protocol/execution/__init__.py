"""How an attempt is carried out, wherever that is: in the engine's process by the local broker, or by a worker elsewhere.

An assignment comes in with references to secrets; `secrets` fills them in, `workspace` gives the attempt a folder of its own,
`staging` lays its input artifacts there, `attempt` calls the executor and keeps what it leaves, `masking` hides secrets in
everything that goes out. What cannot begin because the machine is full waits in `capacity`. `runner` and `slots` decide
when, `threads` are for code that blocks.
"""
