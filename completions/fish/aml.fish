complete --keep-order --exclusive --command aml --arguments "(COMPLETE=fish aml -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
