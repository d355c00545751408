"""What a person writes down: topologies, their elements, and the rules that they must keep."""
