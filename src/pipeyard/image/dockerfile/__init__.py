"""The Dockerfile language: text to instructions, words to values, and what surrounds a Dockerfile.

    parser        parse(text, file) -> Dockerfile, parse_trigger
    instructions  what a Dockerfile consists of
    expansion     expand, expand_word, undefined_variables
    ignore        compile_ignore, compile_patterns -> IgnoreMatcher
    wildcard      compile_wildcard, has_wildcard: the sources of COPY and ADD
    lint          check, refuse_violations; the rules are a table in `rules`
    directives    find_directive: `# syntax=` of any text

The rest belongs to these. Nothing here touches a disk, a network or a clock.
"""
