"""The command line, one file a command.

main          the group, and how errors end: 0 done, 1 could not, 2 wrong usage or configuration
options       what several commands take
admin_client  asking the running node's admin listener
environment   variables that point clients at the node
commands      serve, check, explain, purge, status, env"""
