"""The room of the organisation: which roles a company has, and who acts next.

A new role is one Markdown file, `roles/<name>.md`: YAML front matter with the fields of
`core.role.Role`, and the prompt as the body. Nothing here names a role; `loader` reads whatever
the folders hold and refuses a company that could not work, with every mistake at once.
"""
