"""What a run will come to before it runs: amounts of a corpus, from all of it or a sample, and the time they take.

`estimate` scales what the core's census has counted, with the interval that the sample has. Pure; reads no file. Called
by the plan command.
"""
