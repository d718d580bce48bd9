"""What retrieval keeps when queries are written badly, pools grow and languages were never trained on."""
