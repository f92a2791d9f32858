# A credential in the command's own environment.
env
