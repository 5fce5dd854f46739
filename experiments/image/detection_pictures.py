"""Pictures of detections."""
def figures(found, pictures, classes):
    return {"todo": "x"*30}
