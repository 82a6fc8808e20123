"""Says where a file is no Bicep, by a grammar of it."""

import sys

import tree_sitter
import tree_sitter_bicep

parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
tree = parser.parse(open(sys.argv[1], "rb").read())
wrong = []
nodes = [tree.root_node]
while nodes:
    node = nodes.pop()
    if node.type == "ERROR" or node.is_missing:
        line, column = node.start_point
        wrong.append(f"{sys.argv[1]}:{line + 1}:{column + 1}: this is no Bicep")
    nodes.extend(node.children)
sys.exit("\n".join(wrong) or 0)
